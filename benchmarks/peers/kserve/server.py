"""The server of KServe: a custom model, called by the V1 protocol."""

from typing import Any

from heart import Heart, Patient
from kserve import Model, ModelServer


class HeartModel(Model):
    """A model with one session, which runs on the event loop."""

    def __init__(self) -> None:
        super().__init__("heart")
        self.heart = Heart()
        self.ready = True

    async def predict(
        self,
        payload: dict[str, Any],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, list[float]]:
        """Return `predictions` for the `instances` of a V1 request."""
        patients = [Patient.model_validate(instance) for instance in payload["instances"]]
        return {"predictions": [self.heart.probability(patient) for patient in patients]}


if __name__ == "__main__":
    ModelServer(enable_grpc=False, enable_latency_logging=False).start([HeartModel()])
