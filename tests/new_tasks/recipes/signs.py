"""Traffic signs: a small network on drawn shapes."""

from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from service.tasks import TASKS
from training.data.datasets import ImageData, Source
from training.layers.encoders import PixelScaling
from training.recipe import DataSplits, Protocol, Recipe, TaskTraining

SOURCE = Source(
    name="drawn-signs",
    title="Drawn signs",
    home="tests/new_tasks/recipes/signs.py",
    licence="Apache-2.0",
    citation="None: it says nothing about the world.",
)


def draw(shape: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a square, a triangle or a disc, uint8[32, 32]."""
    picture = np.zeros((32, 32), np.uint8)
    radius, x, y = (int(n) for n in chance.integers((7, 13, 13), (11, 19, 19)))
    corners = {0: [(-1, -1), (1, -1), (1, 1), (-1, 1)], 1: [(0, -1), (1, 1), (-1, 1)]}
    if shape in corners:
        cv2.fillPoly(picture, [np.array(corners[shape]) * radius + (x, y)], 255)
    else:
        cv2.circle(picture, (x, y), radius, 255, -1)
    return np.clip(picture * 0.8 + chance.normal(20, 10, picture.shape), 0, 255).astype(np.uint8)


def synthetic() -> ImageData:
    """Draw 600 signs to learn from and 150 for figures, each shape equally often."""
    chance = np.random.default_rng(0)
    parts = {}
    for name, count in {"train": 600, "test": 150}.items():
        labels = chance.permutation(np.arange(count) % 3)
        parts[f"{name}_images"] = np.stack([draw(int(label), chance) for label in labels])
        parts[f"{name}_labels"] = labels
    return ImageData.of(SOURCE, parts, published=False)


def load(_: Path | None = None) -> ImageData:
    """Return the drawn signs: no others are published."""
    return synthetic()


def prepare(data: ImageData) -> DataSplits:
    """Keep the test split; take a tenth of the training split to validate."""
    return DataSplits.from_images(data, 0)


def network() -> keras.Model:
    """Build one hidden layer of 32."""
    return keras.Sequential(
        [
            keras.Input((32, 32)),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )


TRAINING = TaskTraining(
    task=TASKS["signs"],
    load=load,
    synthetic=synthetic,
    prepare=prepare,
    preprocessing=lambda _: PixelScaling(),
    protocol=Protocol("the test part", lambda data: [[prepare(data)]]),
    recipes={
        "dense": Recipe(
            network=network,
            parameters=32_899,
            optimizer=lambda _: keras.optimizers.Adam(),
            epochs=5,
            batch_size=32,
        )
    },
    default="dense",
    intended_use="Tests.",
    limits="Drawn shapes only.",
)
