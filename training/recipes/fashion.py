"""Fashion-MNIST: a dense network and a convolutional network, the default."""

from pathlib import Path

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from service.tasks.fashion import TASK
from training.data.datasets import ImageData, Source, load_images
from training.data.sources import prints
from training.data.synthetic import synthetic_images
from training.fitting.optimizers import one_cycle
from training.layers.convolutional import convolutional_network
from training.layers.encoders import PixelScaling
from training.recipe import DataSplits, Protocol, Recipe, TaskTraining

SPLIT_SEED = 0
SOURCE = Source(
    name="fashion-mnist",
    title="Fashion-MNIST",
    home="https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    citation="Xiao, H., Rasul, K., & Vollgraf, R. (2017). Fashion-MNIST: a Novel Image Dataset for "
    "Benchmarking Machine Learning Algorithms. https://arxiv.org/abs/1708.07747",
)
MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
PRINTS = prints("""
    train-images-idx3-ubyte:2e487a6c89124f78 train-labels-idx1-ubyte:657fbd221bfc9f41
    t10k-images-idx3-ubyte:c867c93ff9536059 t10k-labels-idx1-ubyte:3d0e6c6ea990b53b
""")

# Halves of symmetric outlines from top to bottom, x to the right of the middle and y down, of width
# 1 and height 1. Shoes and bags have no such symmetry: theirs are in OUTLINES.
HALVES = {
    0: [(0.15, 0), (0.5, 0.15), (0.45, 0.4), (0.3, 0.35), (0.3, 1)],
    1: [(0.25, 0), (0.28, 1), (0.08, 1), (0.02, 0.3)],
    2: [(0.15, 0), (0.35, 0.1), (0.5, 0.95), (0.38, 0.95), (0.28, 0.4), (0.28, 1)],
    3: [(0.1, 0), (0.18, 0.1), (0.1, 0.4), (0.25, 1)],
    4: [(0.1, 0), (0.35, 0.1), (0.48, 0.8), (0.36, 0.8), (0.32, 0.5), (0.36, 1), (0.03, 1),
        (0.02, 0.2)],
    6: [(0.1, 0), (0.3, 0.08), (0.42, 0.6), (0.32, 0.6), (0.26, 0.35), (0.28, 0.85), (0.1, 1)],
}  # fmt: skip
OUTLINES = {
    **{kind: half + [(-x, y) for x, y in reversed(half)] for kind, half in HALVES.items()},
    5: [(-0.5, 0.6), (0.3, 0.35), (0.5, 0.2), (0.5, 0.7), (0.45, 0.7), (0.42, 0.45), (-0.5, 0.7)],
    7: [(-0.5, 0.5), (0, 0.45), (0.3, 0.3), (0.5, 0.3), (0.5, 0.7), (-0.5, 0.7)],
    8: [(-0.45, 0.35), (-0.2, 0.35), (-0.15, 0.1), (0.15, 0.1), (0.2, 0.35), (0.45, 0.35),
        (0.5, 0.9), (-0.5, 0.9)],
    9: [(-0.5, 0.7), (0, 0.5), (0.05, 0), (0.45, 0), (0.5, 0.95), (-0.5, 0.95)],
}  # fmt: skip


def load(data_dir: Path | None = None) -> ImageData:
    """Load Fashion-MNIST: 60,000 + 10,000 pictures of Zalando's articles, in the form of MNIST.

    Label: the index of the garment in the task's labels. Units: grey levels, 0 = background.
    Missing: nothing. Licence: MIT. Citation: `SOURCE.citation`.

    Reads the four idx files, fashion-mnist/train-images-idx3-ubyte[.gz] and so on, from `data_dir`,
    or else from $FORETELL_DATA_DIR; where neither is given, downloads once. Raises DataError.
    """
    return load_images(SOURCE, "fashion-mnist", MIRRORS, PRINTS, data_dir)


def prepare(data: ImageData) -> DataSplits:
    """Keep Fashion-MNIST's own test split; take a tenth of its training split to validate."""
    return DataSplits.from_images(data, SPLIT_SEED)


def draw(kind: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a made-up garment, uint8[28, 28]: a stretched outline filled with one noisy grey."""
    points = np.array(OUTLINES[kind]) + chance.normal(0, 0.015, (len(OUTLINES[kind]), 2))
    points *= (chance.uniform(22, 27), chance.uniform(24, 27))
    points += (13.5 + chance.uniform(-1, 1), chance.uniform(0, 2))
    shape = np.zeros((28, 28), np.uint8)
    # shift=4: coordinates are sixteenths of a pixel.
    cv2.fillPoly(shape, [(points * 16).round().astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    cloth = chance.uniform(0.4, 0.95) + chance.normal(0, 0.05, shape.shape)
    return np.clip(shape * cloth, 0, 255).astype(np.uint8)


def synthetic(train: int = 2_000, test: int = 500, seed: int = 0) -> ImageData:
    """Draw made-up garments of ten outlines, each equally often."""
    return synthetic_images("fashion", draw, train, test, seed)


def augment(
    images: NDArray[np.uint8], _: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return variants of uint8[N, 28, 28]: half are mirrored, each is shifted by at most a pixel.

    Shifts are whole pixels, because resampling at 28x28 blurs the weave that tells a pullover from
    a coat. Nothing is rotated, because shops picture garments upright.
    """
    mirrored = np.where((rng.random(len(images)) < 0.5)[:, None, None], images[:, :, ::-1], images)
    padded = np.pad(mirrored, ((0, 0), (1, 1), (1, 1)))
    corners = rng.integers(0, 3, (len(images), 2))
    return np.stack([p[y : y + 28, x : x + 28] for p, (y, x) in zip(padded, corners, strict=True)])


def dense() -> keras.Model:
    """Build two hidden layers, 512 and 256, each with batch normalisation and dropout of .3."""

    def hidden(units: int) -> list[keras.Layer]:
        # No bias: the normalisation has one.
        return [
            layers.Dense(units, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.3),
        ]

    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            *hidden(512),
            *hidden(256),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn(*, hidden: int = 128, dropout: float = 0.3) -> keras.Model:
    """Build convolutions 32-64-96-128, then a dense layer of 128.

    It is wider than the network for digits because garments differ by details: at 14x14 a collar
    is two pixels wide.
    """
    return convolutional_network((32, 64, 96, 128), hidden=hidden, dropout=dropout)


TRAINING = TaskTraining(
    task=TASK,
    load=load,
    synthetic=synthetic,
    prepare=prepare,
    preprocessing=lambda _: PixelScaling(),
    protocol=Protocol(
        "the data set's own test part, 10,000 pictures; fitted three times, with seeds 0, 1 and 2",
        lambda data: [[prepare(data)]] * 3,
    ),
    recipes={
        "dense": Recipe(
            network=dense,
            parameters=538_122,
            optimizer=one_cycle,
            epochs=30,
            batch_size=128,
        ),
        "cnn": Recipe(
            network=cnn,
            parameters=450_346,
            optimizer=one_cycle,
            epochs=28,
            batch_size=128,
            label_smoothing=0.05,
            augment=augment,
            calibrates=True,
        ),
    },
    default="cnn",
    invalidating_transforms=dict.fromkeys(range(10), ("left", "right")),
    intended_use="Telling ten kinds of garment apart in a shop's pictures, for teaching.",
    limits="One garment, from the front (shoes from the side), on a plain background, in the ten "
    "kinds that Zalando sold in 2017. It answers everything with one of them, and flags what looks "
    "like none (in_distribution), though not always. Photographs of people who wear clothes, or of "
    "clothes on a bed, are something else. Shirts, T-shirts, pullovers and coats are taken for "
    "each other most often; people disagree on them too.",
)
