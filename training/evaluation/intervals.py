"""How far figures of one test part can be trusted: bootstrap intervals over its rows.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap": percentile intervals. They hold what
another sample of test rows would change, and nothing of what another split or seed would.
"""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
AT_ONCE = 100
"""Resamples held in memory together: 8 MB for 10,000 rows."""
Interval = tuple[float, float]


def bootstrap(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    threshold: float,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """95 % intervals of accuracy, log-loss and, of yes-or-no answers, AUC and Brier score.

    The same every time. Calibration error and Kolmogorov-Smirnov distance have none: they are
    distances, which resampling itself makes longer.
    """
    rng = np.random.default_rng(0)
    rows = len(labels)
    means = _row_values(probabilities, labels, threshold)
    matrix = np.stack(list(means.values()), axis=1)
    found = []
    for start in range(0, resamples, AT_ONCE):
        times = _resampled(rows, min(AT_ONCE, resamples - start), rng)
        figures = times @ matrix / rows
        if probabilities.ndim == 1:
            figures = np.column_stack([figures, weighted_auc(probabilities, labels, times)])
        found.append(figures)
    names = [*means, "auc"] if probabilities.ndim == 1 else list(means)
    # A resample without one of the classes has no AUC.
    low, high = np.nanpercentile(np.concatenate(found), [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}


def _resampled(rows: int, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # How many times each sample has each row: [samples, rows].
    drawn = rng.integers(rows, size=(samples, rows)) + rows * np.arange(samples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=samples * rows)
    return counts.reshape(samples, rows).astype(np.float64)


def _row_values(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], threshold: float
) -> dict[str, NDArray[np.float64]]:
    # Of every row, what the metric is the mean of.
    if probabilities.ndim > 1:
        right = probabilities.argmax(axis=1) == labels
        return {"accuracy": right.astype(np.float64), "log_loss": losses(probabilities, labels)}
    right = (probabilities >= threshold) == (labels == 1)
    return {
        "accuracy": right.astype(np.float64),
        "log_loss": losses(probabilities, labels),
        "brier": (probabilities - labels) ** 2,
    }


def losses(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log-loss of each row in nats, cut off as scikit-learn's is."""
    if probabilities.ndim > 1:
        of_label = probabilities[np.arange(len(labels)), labels]
    else:
        of_label = np.where(labels == 1, probabilities, 1 - probabilities)
    cut: NDArray[np.float64] = -np.log(np.clip(of_label, np.finfo(np.float64).eps, None))
    return cut


def weighted_auc(
    scores: NDArray[np.float64], labels: NDArray[np.int64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the ROC curve with each row counted `times` [R, N] over; [R], NaN without a class.

    The share of pairs of a 1 and a 0 that are in the right order, ties counting half.
    """
    _, places = np.unique(scores, return_inverse=True)
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    ones, zeros = (
        np.add.reduceat(times[:, order] * (labels[order] == label), starts, axis=1)
        for label in (1, 0)
    )
    below = zeros.cumsum(axis=1) - zeros
    with np.errstate(invalid="ignore"):
        auc: NDArray[np.float64] = (ones * (below + zeros / 2)).sum(axis=1) / (
            ones.sum(axis=1) * zeros.sum(axis=1)
        )
    return auc
