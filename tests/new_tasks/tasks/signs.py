"""Traffic signs: a picture of one sign in, its shape and three probabilities out."""

from typing import Literal, get_args

from pydantic import Field

from service.contract.answers import ImagePrediction
from service.contract.image import ImageTask

Shape = Literal["square", "triangle", "disc"]
LABELS: tuple[Shape, ...] = get_args(Shape)


class SignPrediction(ImagePrediction):
    """The shape that a sign most likely has."""

    shape: Shape = Field(examples=["disc"])


TASK = ImageTask(
    name="signs",
    title="Traffic signs",
    prediction=SignPrediction,
    answer="shape",
    labels=LABELS,
    reading="sign_pixels:read_sign",
    to_label=LABELS.__getitem__,
    size=(32, 32),
)
