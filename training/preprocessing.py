"""Keras layers that become part of the exported graph, so that serving repeats nothing of them.

Plain `keras.ops` only: the same layers train on TensorFlow, JAX and PyTorch.
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.contract import Feature


class TabularEncoder(keras.layers.Layer):
    """Rows in contract order (float32[N, F], NaN = not recorded) to what a network can learn from.

    Columns out, float32[N, D]: each of `numbers`, standardised, a missing one at the training mean;
    then, for each field of `codes`, one column of 0 or 1 a code. The code None stands for not
    recorded; a field without it has all zeros there.

    With `compensation`, the columns of a row are multiplied by (fields / recorded fields) to that
    power: what is missing adds nothing to a network's sums, which would leave answers nearer to the
    middle than what is recorded justifies. Dropout does the same while it trains.
    """

    learned = ("mean", "scale")
    """The arrays that `adapt` sets."""

    def __init__(
        self,
        features: Sequence[Feature],
        numbers: Sequence[str],
        codes: Mapping[str, Sequence[int | None]],
        *,
        compensation: float = 0.0,
    ) -> None:
        super().__init__(name="preprocessing", trainable=False)
        column = {feature.name: index for index, feature in enumerate(features)}
        self.number_columns = [column[name] for name in numbers]
        pairs = [(column[name], code) for name, values in codes.items() for code in values]
        self.code_columns = [index for index, _ in pairs]
        # NaN is equal to nothing, itself included: the None columns come from isnan alone.
        self.code_values = np.array([np.nan if c is None else c for _, c in pairs], np.float32)
        self.code_is_missing = np.array([c is None for _, c in pairs])
        self.compensation = compensation
        self.width = len(numbers) + len(pairs)
        zeros = np.zeros(len(numbers), np.float32)
        self.mean, self.scale = zeros, zeros + 1

    def adapt(self, rows: NDArray[np.float32]) -> None:
        """Learn each number's mean and standard deviation from the training rows, NaN left out."""
        values = rows[:, self.number_columns].astype(np.float64)
        self.mean = np.nanmean(values, axis=0).astype(np.float32)
        deviation = np.nanstd(values, axis=0)
        self.scale = np.where(deviation > 0, deviation, 1).astype(np.float32)

    def call(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """float32[N, F] to float32[N, D]."""
        numbers = ops.take(rows, self.number_columns, axis=1)
        numbers = (ops.where(ops.isnan(numbers), self.mean, numbers) - self.mean) / self.scale
        coded = ops.take(rows, self.code_columns, axis=1)
        hit = ops.logical_or(
            ops.equal(coded, self.code_values),
            ops.logical_and(ops.isnan(coded), self.code_is_missing),
        )
        columns = ops.concatenate([numbers, ops.cast(hit, "float32")], axis=1)
        if not self.compensation:
            return columns
        recorded = ops.cast(ops.logical_not(ops.isnan(rows)), "float32")
        return columns / ops.mean(recorded, axis=1, keepdims=True) ** self.compensation

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """One row in, one row out."""
        return (input_shape[0], self.width)


class PixelScaling(keras.layers.Layer):
    """uint8[N, 28, 28] of 0..255 to float32[N, 28, 28] of 0..1."""

    def __init__(self) -> None:
        super().__init__(name="preprocessing", trainable=False)

    def call(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Brightness by 255."""
        return ops.cast(image, "float32") / 255.0

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shapes do not change."""
        return input_shape
