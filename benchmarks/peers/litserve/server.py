"""The server of LitServe: a typed request, one worker, `fast_queue`."""

import sys

import litserve
from heart import Heart, Patient


class HeartAPI(litserve.LitAPI):
    """A LitServe API whose three steps run in the worker process."""

    def setup(self, device: str) -> None:
        """Load the model once per worker."""
        self.heart = Heart()

    def decode_request(self, request: Patient) -> Patient:
        """Return the payload, which FastAPI has validated by its annotation."""
        return request

    def predict(self, patient: Patient) -> float:
        """Return the probability of one row."""
        return self.heart.probability(patient)

    def encode_response(self, output: float) -> dict[str, float]:
        """Return the answer as an object."""
        return {"probability": output}


if __name__ == "__main__":
    server = litserve.LitServer(HeartAPI(), accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
