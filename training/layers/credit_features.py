"""Engineered features of six months of bills and payments, as one layer inside the graph.

The layer uses plain `keras.ops` only. Every feature is bounded, so that the extremes of the
contract (±10 million dollars) give an answer like any other; NaN, which the contract rejects,
counts as the training median.
"""

from collections.abc import Sequence
from statistics import NormalDist

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from service.contract.fields import Feature

LATEST = 4
"""The months of delay from which on all are one status."""
BOUND = 4.0
"""The bound of a standardised feature, in standard deviations."""
QUANTILES = 33


class CreditFeatures(keras.layers.Layer):
    """Rows float32[N, 23] in contract order as features float32[N, D].

    The columns are the `quantities`, standardised and bounded; the same, each as the normal score
    of its rank among the training rows; the `indicators`. With `blind`, sex and marriage
    are not read.
    """

    learned = ("median", "mean", "scale", "knots", "scores")
    """The arrays that `adapt` sets."""

    def __init__(self, features: Sequence[Feature], *, blind: bool = False) -> None:
        super().__init__(name="preprocessing", trainable=False)
        column = {feature.name: index for index, feature in enumerate(features)}
        self.status = [column[f"pay_{month}"] for month in (0, 2, 3, 4, 5, 6)]
        self.bill = [column[f"bill_amt{month}"] for month in range(1, 7)]
        self.paid = [column[f"pay_amt{month}"] for month in range(1, 7)]
        self.limit, self.age = [column["limit_bal"]], [column["age"]]
        groups: dict[str, list[int]] = {"education": [1, 2, 3]}
        if not blind:
            groups |= {"sex": [1], "marriage": [1, 2]}
        # Any other code (unknown, other) has all zeros.
        pairs = [(column[name], code) for name, codes in groups.items() for code in codes]
        self.group_columns = [index for index, _ in pairs]
        self.group_codes = np.array([code for _, code in pairs], np.float32)

    def adapt(self, rows: NDArray[np.float32]) -> None:
        """Compute medians, means, deviations and quantiles of the training rows."""
        self.median = np.nanmedian(rows, axis=0).astype(np.float32)
        values = ops.convert_to_numpy(self.quantities(ops.convert_to_tensor(rows))).astype(
            np.float64
        )
        self.mean = values.mean(axis=0).astype(np.float32)
        deviation = values.std(axis=0)
        self.scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
        standard = np.clip((values - self.mean) / self.scale, -BOUND, BOUND)
        self.knots, self.scores = normal_scores(standard)

    def call(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """Encode float32[N, 23] as float32[N, D]."""
        rows = ops.where(ops.isnan(rows), self.median, rows)
        standard = ops.clip((self.quantities(rows) - self.mean) / self.scale, -BOUND, BOUND)
        return ops.concatenate(
            [standard, self.rank_scores(standard), self.indicators(rows)], axis=1
        )

    def quantities(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """Compute logarithms of amounts, and ratios of amounts: float32[N, 42]."""
        limit, age = ops.take(rows, self.limit, axis=1), ops.take(rows, self.age, axis=1)
        bill, paid = ops.take(rows, self.bill, axis=1), ops.take(rows, self.paid, axis=1)
        used = ops.clip(bill / limit, -1.0, 3.0)
        # A month's payment settles the bill of the month before, which is the next column. Where
        # nothing is owed, the ratio is 1: all was paid.
        settled = ops.clip((paid[:, :-1] + 1.0) / (ops.maximum(bill[:, 1:], 0.0) + 1.0), 0.0, 2.0)
        return ops.concatenate(
            [
                logarithm(limit),
                age,
                logarithm(bill),
                logarithm(paid),
                used,
                ops.clip(paid / limit, 0.0, 1.0),
                settled,
                ops.clip((bill[:, :-1] - bill[:, 1:]) / limit, -2.0, 2.0),
                ops.mean(used, axis=1, keepdims=True),
                ops.max(used, axis=1, keepdims=True),
                logarithm(ops.mean(paid, axis=1, keepdims=True)),
                logarithm(ops.min(paid, axis=1, keepdims=True)),
                ops.mean(settled, axis=1, keepdims=True),
                logarithm(ops.maximum(limit - bill[:, :1], 0.0)),
            ],
            axis=1,
        )

    def rank_scores(self, standard: keras.KerasTensor) -> keras.KerasTensor:
        """Compute each column's normal score, linear between one learned quantile and the next.

        It is a sum of ramps, each between 0 and its height: it needs no search, has no
        cancellation, and is the same in every runtime.
        """
        start, end = self.knots[:, :-1], self.knots[:, 1:]
        ramps = ops.clip((ops.expand_dims(standard, -1) - start) / (end - start), 0.0, 1.0)
        heights = self.scores[:, 1:] - self.scores[:, :-1]
        return ops.sum(ramps * heights, axis=-1) + self.scores[:, 0]

    def indicators(self, rows: keras.KerasTensor) -> keras.KerasTensor:
        """Compute indicators of each month's status, sums of delays, and indicators of groups.

        The columns are 6 x 7 statuses of 0 or 1; the shares of the six months that were late, two
        months late or more, without consumption, paid in full, revolving; the longest delay and
        the mean delay; then one column for each code of education and, unless blind, of sex and
        marriage.
        """
        status = ops.clip(ops.take(rows, self.status, axis=1), -2.0, float(LATEST))
        steps = np.arange(-2, LATEST + 1, dtype=np.float32)
        each = ops.cast(ops.equal(ops.expand_dims(status, -1), steps), "float32")
        share = ops.mean(each, axis=1)
        late = ops.maximum(status, 0.0)
        groups = ops.take(rows, self.group_columns, axis=1)
        return ops.concatenate(
            [
                ops.reshape(each, (-1, 6 * len(steps))),
                ops.sum(share[:, 3:], axis=1, keepdims=True),
                ops.sum(share[:, 4:], axis=1, keepdims=True),
                share[:, :3],
                ops.max(late, axis=1, keepdims=True) / 2.0,
                ops.mean(late, axis=1, keepdims=True),
                ops.cast(ops.equal(groups, self.group_codes), "float32"),
            ],
            axis=1,
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape [N, D]."""
        quantities, indicators = 42, 6 * (LATEST + 3) + 7 + len(self.group_columns)
        return (input_shape[0], 2 * quantities + indicators)


def logarithm(amount: keras.KerasTensor) -> keras.KerasTensor:
    """Return log(1 + |amount|) with the amount's sign."""
    # tf2onnx has no log1p; amounts are whole dollars, for which this is as exact.
    return ops.sign(amount) * ops.log(1.0 + ops.abs(amount))


def normal_scores(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute quantiles of each column and their normal scores: two float32[F, QUANTILES].

    A value that many rows share has the score of the middle of their ranks. Quantiles are at least
    .01 apart, so that the steepest line between two does not magnify a rounding error.
    """
    levels = np.linspace(0.002, 0.998, QUANTILES)
    knots = np.empty((values.shape[1], QUANTILES))
    scores = np.empty_like(knots)
    for index, column in enumerate(np.sort(values, axis=0).T):
        apart = [-BOUND - 0.01]
        for quantile in np.quantile(column, levels):
            if quantile >= apart[-1] + 0.01:
                apart.append(quantile)
        inner = np.array(apart[1:])
        rank = (np.searchsorted(column, inner) + np.searchsorted(column, inner, "right")) / 2
        # Flat beyond the last quantile, up to a full row of knots.
        spare = inner[-1] + np.arange(1, QUANTILES - len(inner) + 1) * 0.01
        knots[index] = [*inner, *spare]
        share = np.clip(rank / len(column), 0.001, 0.999)
        score = np.array([NormalDist().inv_cdf(level) for level in share])
        scores[index] = [*score, *np.full(len(spare), score[-1])]
    return knots.astype(np.float32), scores.astype(np.float32)
