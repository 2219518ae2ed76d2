"""LitServe: a typed request, one worker, the quick queue."""

import sys

import litserve
from heart import Heart, Patient


class HeartAPI(litserve.LitAPI):
    """Decode, predict, encode, each in the worker process."""

    def setup(self, device: str) -> None:
        """Load, once a worker."""
        self.heart = Heart()

    def decode_request(self, request: Patient) -> Patient:
        """The payload is validated by FastAPI, as the annotation says."""
        return request

    def predict(self, patient: Patient) -> float:
        """Of one row."""
        return self.heart.probability(patient)

    def encode_response(self, output: float) -> dict[str, float]:
        """The answer."""
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
