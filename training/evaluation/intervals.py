"""Bootstrap intervals of metrics over the rows of one test split.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap": percentile intervals. They cover the
variation of another sample of test rows, and not that of another split or seed.
"""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
AT_ONCE = 100
"""The resamples held in memory together: 8 MB for 10,000 rows."""
Interval = tuple[float, float]


def bootstrap(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    threshold: float,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Compute 95 % intervals of accuracy, log-loss and, of yes-or-no answers, AUC and Brier score.

    They are the same at every call. Calibration error and Kolmogorov-Smirnov distance have none:
    they are distances, and resampling biases distances upwards.
    """
    rng = np.random.default_rng(0)
    rows = len(labels)
    means = _row_values(probabilities, labels, threshold)
    matrix = np.stack(list(means.values()), axis=1)
    samples = []
    for start in range(0, resamples, AT_ONCE):
        times = _resampled(rows, min(AT_ONCE, resamples - start), rng)
        figures = times @ matrix / rows
        if probabilities.ndim == 1:
            figures = np.column_stack([figures, weighted_auc(probabilities, labels, times)])
        samples.append(figures)
    names = [*means, "auc"] if probabilities.ndim == 1 else list(means)
    # A resample without one of the classes has no AUC.
    low, high = np.nanpercentile(np.concatenate(samples), [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}


def _resampled(rows: int, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # Returns the count of each row in each sample: [samples, rows].
    drawn = rng.integers(rows, size=(samples, rows)) + rows * np.arange(samples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=samples * rows)
    return counts.reshape(samples, rows).astype(np.float64)


def _row_values(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], threshold: float
) -> dict[str, NDArray[np.float64]]:
    # Returns the row values that each metric is the mean of.
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
    """Compute the log-loss of each row in nats, clipped as scikit-learn's is."""
    if probabilities.ndim > 1:
        of_label = probabilities[np.arange(len(labels)), labels]
    else:
        of_label = np.where(labels == 1, probabilities, 1 - probabilities)
    cut: NDArray[np.float64] = -np.log(np.clip(of_label, np.finfo(np.float64).eps, None))
    return cut


def weighted_auc(
    scores: NDArray[np.float64], labels: NDArray[np.int64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the area under the ROC curve with each row counted `times` [R, N]; float64[R].

    It is the share of pairs of a 1 and a 0 that are in the right order, ties counting half, and NaN
    without one of the classes.
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
