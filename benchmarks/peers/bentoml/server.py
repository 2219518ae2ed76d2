"""BentoML: a typed asynchronous API with the payload as its root input, one worker."""

import bentoml
from heart import Heart, Patient


@bentoml.service(
    workers=1,
    threads=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class HeartService:
    """One session, used on the event loop."""

    def __init__(self) -> None:
        self.heart = Heart()

    @bentoml.api(route="/predict")
    async def predict(self, patient: Patient, /) -> dict[str, float]:
        """Of one row; the `/` makes it the whole body."""
        return {"probability": self.heart.probability(patient)}
