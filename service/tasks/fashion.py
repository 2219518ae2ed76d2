"""Garments (Fashion-MNIST): the kind of garment on a shop's picture, and ten probabilities."""

from typing import Literal, get_args

from pydantic import Field

from service.contract.answers import ImagePrediction
from service.contract.image import ImageTask

Garment = Literal[
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
LABELS: tuple[Garment, ...] = get_args(Garment)


class GarmentPrediction(ImagePrediction):
    """The kind of garment that a picture most likely shows.

    `probabilities` are in the order in which the kinds of `garment` are listed.
    """

    garment: Garment = Field(examples=["Ankle boot"])


TASK = ImageTask(
    name="fashion",
    title="Garments",
    prediction=GarmentPrediction,
    answer="garment",
    labels=LABELS,
    reading="service.images.pixels.garment:read_garment",
    to_label=LABELS.__getitem__,
)
