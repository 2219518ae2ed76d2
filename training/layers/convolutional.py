"""The convolutional network for 28x28 pictures that recipes share."""

from collections.abc import Sequence
from itertools import chain

import keras
from keras import layers


def convolutional_network(filters: Sequence[int], *, hidden: int, dropout: float) -> keras.Model:
    """Build a network of one 5x5 and then 3x3 convolutions, each normalised, and a dense layer.

    It takes float32[N, 28, 28] and returns the probabilities of ten classes, float32[N, 10]. The
    first two and the last convolution halve their picture: 28x28 becomes 4x4.
    """

    def convolution(filters: int, size: int, *, halve: bool = True) -> list[keras.Layer]:
        # No bias: the normalisation has one, which costs a quarter after the pooling.
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
