"""Handwritten digits (MNIST): the digit on a picture, and ten probabilities."""

from pydantic import Field

from service.contract.answers import ImagePrediction
from service.contract.image import ImageTask


class DigitPrediction(ImagePrediction):
    """The digit that a picture most likely shows."""

    digit: int = Field(ge=0, le=9, examples=[7])


TASK = ImageTask(
    name="digits",
    title="Handwritten digits",
    prediction=DigitPrediction,
    answer="digit",
    labels=tuple("0123456789"),
    reading="service.images.pixels:read_digit",
)
