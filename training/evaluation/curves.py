"""Curves of a model on its test split, as the few numbers that plots are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from service.models.artifacts.card import Bin, Curves
from training.evaluation.metrics import bin_numbers

POINTS = 100
STEPS = np.arange(1, 20) / 20
"""The thresholds of the table, which are the ends of the intervals of `Curves.scores`."""


def compute_curves(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], threshold: float
) -> Curves:
    """Compute the curves of probabilities, [N] of yes or [N, K] of classes, and labels int64[N]."""
    if probabilities.ndim > 1:
        answers = probabilities.argmax(axis=1)
        classes = range(probabilities.shape[1])
        return Curves(
            confusion=confusion_matrix(labels, answers, labels=classes).tolist(),
            calibration=_calibration(probabilities.max(axis=1), answers == labels),
        )
    false_positive, true_positive, _ = roc_curve(labels, probabilities)
    precision, recall, _ = precision_recall_curve(labels, probabilities)
    return Curves(
        confusion=confusion_matrix(labels, probabilities >= threshold, labels=[0, 1]).tolist(),
        calibration=_calibration(probabilities, labels == 1),
        roc=thin(false_positive, true_positive),
        precision_recall=thin(recall, precision),
        scores=[_scores(probabilities[labels == label]) for label in (0, 1)],
    )


def _calibration(probability: NDArray[np.float64], outcome: NDArray[np.bool_]) -> list[Bin]:
    bins = bin_numbers(probability)
    return [
        Bin(
            probability=_rounded(probability[bins == number].mean()),
            share=_rounded(outcome[bins == number].mean()),
            rows=int((bins == number).sum()),
        )
        for number in np.unique(bins)
    ]


def _scores(probability: NDArray[np.float64]) -> list[int]:
    counts: list[int] = np.bincount(
        np.searchsorted(STEPS, probability, side="right"), minlength=len(STEPS) + 1
    ).tolist()
    return counts


def thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Keep at most `POINTS` of a curve's points, both ends among them, about equally far apart.

    Distances are along the curve, so that steep parts and flat parts both keep points.
    """
    length = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], POINTS)))
    return [(_rounded(x[i]), _rounded(y[i])) for i in kept]


def _rounded(value: float) -> float:
    return round(float(value), 5)


@dataclass(frozen=True)
class AtThreshold:
    """Metrics at one threshold; NaN where there is nothing to divide by."""

    threshold: float
    flagged: float
    sensitivity: float
    specificity: float
    precision: float
    accuracy: float
    f1: float


def threshold_table(scores: Sequence[Sequence[int]]) -> list[AtThreshold]:
    """Compute the metrics at each threshold .05, .10, …, .95 from `Curves.scores`."""
    counts = np.array(scores)
    # The rows at or above each threshold, by class.
    no, yes = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    nos, yeses = counts.sum(axis=1)
    rows = nos + yeses
    with np.errstate(invalid="ignore"):
        columns = (
            (no + yes) / rows,
            yes / yeses,
            1 - no / nos,
            yes / (no + yes),
            (yes + nos - no) / rows,
            2 * yes / (yeses + no + yes),
        )
    return [AtThreshold(*map(float, line)) for line in zip(STEPS, *columns, strict=True)]
