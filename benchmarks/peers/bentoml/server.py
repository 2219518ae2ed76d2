"""The server of BentoML: a typed `async` API with the payload as its root input, one worker."""

import bentoml
from heart import Heart, Patient


@bentoml.service(
    workers=1,
    threads=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class HeartService:
    """A service with one session, which runs on the event loop."""

    def __init__(self) -> None:
        self.heart = Heart()

    @bentoml.api(route="/predict")
    async def predict(self, patient: Patient, /) -> dict[str, float]:
        """Return the probability of one row; the `/` makes `patient` the whole body."""
        return {"probability": self.heart.probability(patient)}
