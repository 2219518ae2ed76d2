"""Preprocessing layers that become part of the exported graph; the service has no second copy.

They use plain `keras.ops` only, so that they run on TensorFlow, JAX and PyTorch.
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.contract.fields import Feature

NOT_RECORDED = -(2.0**20)
"""The value of a missing code: no code of any contract, and exact in every float format."""


class TabularEncoder(keras.layers.Layer):
    """Rows in contract order (float32[N, F], NaN = not recorded) as columns float32[N, D].

    The columns are each of `numbers`, standardised, a missing one at the training mean; then, for
    each field of `codes`, one column of 0 or 1 for each code. The code None means not recorded; a
    field without it has all zeros there.

    With `compensation`, the columns of a row are multiplied by (fields / recorded fields) to that
    power. Missing fields add nothing to a network's sums, which would move answers towards the
    middle further than the recorded fields justify. Dropout scales in the same way.
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
        if both := codes.keys() & set(numbers):
            raise ValueError(f"{', '.join(sorted(both))}: numbers, and codes as well")
        column = {feature.name: index for index, feature in enumerate(features)}
        self.fields = len(features)
        self.number_columns = [column[name] for name in numbers]
        pairs = [(column[name], code) for name, values in codes.items() for code in values]
        self.code_columns = [index for index, _ in pairs]
        values = [NOT_RECORDED if code is None else code for _, code in pairs]
        self.code_values = np.array(values, np.float32)
        self.compensation = compensation
        self.width = len(numbers) + len(pairs)
        zeros = np.zeros(len(numbers), np.float32)
        self.mean, self.scale = zeros, zeros + 1

    def adapt(self, rows: NDArray[np.float32]) -> None:
        """Compute each number's mean and standard deviation over training rows, without NaN."""
        values = rows[:, self.number_columns].astype(np.float64)
        self.mean = np.nanmean(values, axis=0).astype(np.float32)
        deviation = np.nanstd(values, axis=0)
        self.scale = np.where(deviation > 0, deviation, 1).astype(np.float32)

    def call(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """Encode float32[N, F] as float32[N, D]."""
        # Transposed: runtimes take longer to pick columns out of rows than for all the rest.
        fields = ops.transpose(rows)
        missing = ops.isnan(fields)
        filling = np.full((self.fields, 1), NOT_RECORDED, np.float32)
        filling[self.number_columns, 0] = self.mean
        fields = ops.where(missing, filling, fields)
        numbers = ops.take(fields, self.number_columns, axis=0)
        numbers = (numbers - self.mean[:, None]) / self.scale[:, None]
        hit = ops.equal(ops.take(fields, self.code_columns, axis=0), self.code_values[:, None])
        columns = ops.concatenate([numbers, ops.cast(hit, "float32")], axis=0)
        if self.compensation:
            recorded = ops.cast(ops.logical_not(missing), "float32")
            columns /= ops.mean(recorded, axis=0, keepdims=True) ** self.compensation
        return ops.transpose(columns)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape [N, D]."""
        return (input_shape[0], self.width)


class PixelScaling(keras.layers.Layer):
    """Pixels uint8[N, height, width] of 0..255 as float32 of the same shape, 0..1."""

    def __init__(self) -> None:
        super().__init__(name="preprocessing", trainable=False)

    def call(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """Divide by 255."""
        return ops.cast(image, "float32") / 255.0

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the same shape."""
        return input_shape
