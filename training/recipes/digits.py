"""MNIST digits: the lectures' dense networks, and a small convolutional one, the default."""

from collections.abc import Sequence
from functools import partial
from itertools import chain

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.tasks.digits import TASK
from training.data.datasets import ImageData, load_mnist
from training.data.synthetic import synthetic_digits
from training.fitting.augmentation import augment
from training.fitting.optimizers import sgd
from training.layers.encoders import PixelScaling
from training.recipe import DataSplits, Protocol, Recipe, Split, TaskTraining

SPLIT_SEED = 0
TEMPERATURE_FACTOR = 1.8
"""What label smoothing took from the convolutional network's log-probabilities: of the factors from
1 to 3 that with the lowest log-loss, .0138, on 15,000 training pictures, of a fit to the others."""


def prepare(data: ImageData) -> DataSplits:
    """MNIST's own test part; a tenth of its training part for validation."""
    train, validation = train_test_split(
        np.arange(len(data.train_labels)),
        test_size=0.1,
        stratify=data.train_labels,
        random_state=SPLIT_SEED,
    )
    return DataSplits(
        source=data.source,
        fingerprint=data.fingerprint,
        published=data.published,
        split="the data set's own test part; 10 % of its training part for validation, stratified "
        f"by label, scikit-learn train_test_split, random_state {SPLIT_SEED}",
        train=Split(data.train_images[train], data.train_labels[train]),
        validation=Split(data.train_images[validation], data.train_labels[validation]),
        test=Split(data.test_images, data.test_labels),
    )


PROTOCOL = Protocol(
    "the data set's own test part, 10,000 pictures; fitted three times, with seeds 0, 1 and 2",
    lambda data: [[prepare(data)]] * 3,
)


def preprocessing(_: NDArray[np.uint8]) -> PixelScaling:
    """Pixels 0..255 to 0..1, for every network alike."""
    return PixelScaling()


def softmax() -> keras.Model:
    """Softmax regression: one weight a pixel and digit."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def dense32(*, hidden: int = 32) -> keras.Model:
    """One hidden layer."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(hidden, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def deep() -> keras.Model:
    """Five hidden layers."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dense(50, activation="relu"),
            layers.Dense(50, activation="relu"),
            layers.Dense(25, activation="relu"),
            layers.Dense(25, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def dropout(*, hidden: int = 1024, dropout: float = 0.5) -> keras.Model:
    """Wide layers that forget half of themselves at every step."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(hidden, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(hidden, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(10, activation="softmax"),
        ]
    )


def batchnorm(*, hidden: int = 1024) -> keras.Model:
    """Wide layers, normalised over each batch before their ReLU."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(hidden),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(hidden),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def convolutional(filters: Sequence[int], *, hidden: int, dropout: float) -> keras.Model:
    """A 5x5 and then 3x3 convolutions, each normalised, and a dense layer.

    The first two and the last convolution halve their picture: 28x28 to 4x4.
    """

    def convolution(filters: int, size: int, *, halve: bool = True) -> list[keras.Layer]:
        # The bias is left to the normalisation, which costs a quarter after the pooling.
        return [
            layers.Conv2D(filters, size, padding="same", use_bias=False),
            *([layers.MaxPooling2D(2, padding="same")] if halve else []),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]

    first, second, *others, last = filters
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            *convolution(first, 5),
            *convolution(second, 3),
            *chain.from_iterable(convolution(each, 3, halve=False) for each in others),
            *convolution(last, 3),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(hidden, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(dropout),
            layers.Dense(10, activation="softmax"),
        ]
    )


def cnn(*, hidden: int = 128, dropout: float = 0.15) -> keras.Model:
    """Convolutions 16-48-64-64-128, then a dense layer of 128."""
    return convolutional((16, 48, 64, 64, 128), hidden=hidden, dropout=dropout)


def one_cycle(
    steps: int, *, learning_rate: float = 4e-3, weight_decay: float = 0.01
) -> keras.optimizers.Optimizer:
    """AdamW, its rate up over a quarter of the steps and down to nothing over the rest.

    The network keeps the running average of its weights (Polyak and Juditsky 1992), over 500 steps
    or, in a short fit, a tenth of them; the cycle is that of Smith and Topin 2018,
    "Super-convergence".
    """
    rise = steps // 4
    momentum = 1 - 1 / min(500, max(1, steps // 10))
    rate = keras.optimizers.schedules.CosineDecay(
        learning_rate / 25,
        decay_steps=max(1, steps - rise),
        alpha=0.002,
        warmup_target=learning_rate,
        warmup_steps=rise,
    )
    return keras.optimizers.AdamW(
        rate, weight_decay=weight_decay, use_ema=True, ema_momentum=momentum
    )


# Left out is what leaves a digit, or nearly one: a 2 mirrored is nearly a 5, a 6 turned round a 9.
INVALIDATING_TRANSFORMS = {
    1: ("left",),
    2: ("left", "right"),
    3: ("left", "right", "mirrored"),
    4: ("left", "right", "round", "upside down"),
    5: ("left", "right"),
    6: ("left", "right", "mirrored", "upside down"),
    7: ("left", "right", "round", "mirrored", "upside down"),
    8: ("left",),
    9: ("left", "right", "mirrored", "upside down"),
}

TRAINING = TaskTraining(
    task=TASK,
    load=load_mnist,
    synthetic=synthetic_digits,
    prepare=prepare,
    preprocessing=preprocessing,
    protocol=PROTOCOL,
    recipes={
        "softmax": Recipe(
            network=softmax,
            parameters=784 * 10 + 10,
            optimizer=partial(sgd, learning_rate=0.1),
            epochs=40,
            batch_size=64,
        ),
        "dense32": Recipe(
            network=dense32,
            parameters=25_450,
            optimizer=partial(one_cycle, weight_decay=0.05),
            epochs=20,
            batch_size=128,
        ),
        "deep": Recipe(
            network=deep,
            parameters=88_285,
            optimizer=partial(one_cycle, weight_decay=0.1),
            epochs=30,
            batch_size=128,
            label_smoothing=0.1,
            calibrates=True,
        ),
        "dropout": Recipe(
            network=dropout,
            parameters=1_863_690,
            optimizer=partial(one_cycle, learning_rate=2e-3, weight_decay=0.05),
            epochs=12,
            batch_size=128,
        ),
        "batchnorm": Recipe(
            network=batchnorm,
            parameters=1_871_882,
            optimizer=partial(one_cycle, learning_rate=2e-3, weight_decay=0.05),
            epochs=12,
            batch_size=128,
        ),
        "batchnorm-augmented": Recipe(
            network=batchnorm,
            parameters=1_871_882,
            optimizer=partial(one_cycle, learning_rate=2e-3),
            epochs=12,
            batch_size=128,
            augment=augment,
        ),
        "cnn": Recipe(
            network=cnn,
            parameters=410_778,
            optimizer=one_cycle,
            epochs=26,
            batch_size=128,
            label_smoothing=0.05,
            augment=augment,
            validates=False,
            temperature_factor=TEMPERATURE_FACTOR,
        ),
    },
    default="cnn",
    coverage=0.999,  # at .95 the likeliest digit alone does it, and a set would never say anything
    invalidating_transforms=INVALIDATING_TRANSFORMS,
    intended_use="Reading single handwritten digits, for teaching. Not for reading cheques or "
    "forms without a person who checks.",
    limits="Digits as Americans of the 1990s wrote them, one at a time. It answers everything "
    "with a digit, and flags what looks like none (in_distribution); it has never seen a letter, "
    "and does not flag all that look unlike a digit.",
)
