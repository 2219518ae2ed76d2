"""The server of Ray Serve: a typed FastAPI ingress, one replica.

contenders.py starts it with the variables that its documentation advises for throughput:
RAY_SERVE_THROUGHPUT_OPTIMIZED and RAY_SERVE_ENABLE_HA_PROXY (HAProxy comes with the package).
"""

import signal
import sys

import ray
from fastapi import FastAPI
from heart import Heart, Patient
from ray import serve

app = FastAPI()


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
@serve.ingress(app)
class HeartDeployment:
    """A deployment with one session, which runs on the replica's event loop."""

    def __init__(self) -> None:
        self.heart = Heart()

    @app.post("/predict")
    async def predict(self, patient: Patient) -> dict[str, float]:
        """Return the probability of one row."""
        return {"probability": self.heart.probability(patient)}


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])},
        logging_config={"log_level": "WARNING", "enable_access_log": False},
    )
    serve.run(HeartDeployment.bind(), name="heart")
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    ray.shutdown()
