"""Curves, tables and intervals, against scikit-learn and by hand."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from service.models.artifacts.card import Curves
from training.evaluation.curves import POINTS, STEPS, compute_curves, threshold_table
from training.evaluation.intervals import bootstrap, weighted_auc
from training.evaluation.metrics import compute_metrics


def decisions(rows: int = 5000) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw probabilities, many equal and many on a threshold, and labels that follow them."""
    rng = np.random.default_rng(1)
    probabilities = np.round(rng.beta(1, 2, rows), 2)
    return probabilities, (rng.random(rows) < probabilities**0.7).astype(np.int64)


def test_a_thinned_roc_has_the_area_of_the_whole() -> None:
    """A thinned curve has at most 100 points, both ends and the AUC within .002."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 5000)
    scores = 1 / (1 + np.exp(-rng.normal(labels, 1.3)))
    curves = compute_curves(scores, labels, 0.5)
    for points in (curves.roc, curves.precision_recall):
        assert 50 < len(points) <= POINTS
    assert curves.roc[0] == (0, 0)
    assert curves.roc[-1] == (1, 1)
    assert curves.precision_recall[0][0] == 1
    assert curves.precision_recall[-1] == (0, 1)
    false_positive, true_positive = np.array(curves.roc).T
    area = np.trapezoid(true_positive, false_positive)
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=0.002)


def test_a_roc_of_few_rows_keeps_every_point() -> None:
    """Two rows of each class in the order 0 1 0 1 give a staircase with five points."""
    curves = compute_curves(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1]), 0.5)
    assert curves.roc == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


def test_the_threshold_table_is_what_scikit_learn_counts() -> None:
    """Every metric equals scikit-learn's; a probability equal to the threshold is flagged."""
    probabilities, labels = decisions()
    table = threshold_table(compute_curves(probabilities, labels, 0.5).scores)
    assert [line.threshold for line in table] == pytest.approx(STEPS.tolist())
    assert len(table) == 19
    for line in table:
        flagged = probabilities >= line.threshold
        assert line.flagged == pytest.approx(flagged.mean())
        assert line.sensitivity == pytest.approx(recall_score(labels, flagged))
        assert line.specificity == pytest.approx(recall_score(labels, flagged, pos_label=0))
        assert line.accuracy == pytest.approx(accuracy_score(labels, flagged))
        assert line.f1 == pytest.approx(f1_score(labels, flagged))
        assert line.precision == pytest.approx(precision_score(labels, flagged))


def test_a_threshold_that_flags_nobody_has_no_precision() -> None:
    """Precision is NaN where no row is flagged; other values are those computed by hand."""
    curves = compute_curves(np.array([0.2, 0.6]), np.array([0, 1]), 0.5)
    low, middle, high = (threshold_table(curves.scores)[i] for i in (0, 9, 18))
    assert (low.flagged, low.sensitivity, low.specificity, low.precision) == (1, 1, 0, 0.5)
    assert (middle.flagged, middle.accuracy, middle.f1) == (0.5, 1, 1)
    assert (high.flagged, high.sensitivity, high.specificity) == (0, 0, 1)
    assert np.isnan(high.precision)


def test_the_bins_hold_the_calibration_error() -> None:
    """Rows add up, and the mean distance over bins is the card's expected calibration error."""
    probabilities, labels = decisions()
    curves = compute_curves(probabilities, labels, 0.3)
    assert sum(each.rows for each in curves.calibration) == len(labels)
    distance = sum(b.rows * abs(b.probability - b.share) for b in curves.calibration) / len(labels)
    wanted = compute_metrics(probabilities, labels, 0.3)["ece"]
    assert distance == pytest.approx(wanted, abs=1e-5)  # rounded to five digits
    assert curves.confusion == confusion_matrix(labels, probabilities >= 0.3).tolist()


def test_pictures_have_a_confusion_matrix_of_every_class() -> None:
    """A class that never occurs keeps its row; calibration is that of the answer."""
    probabilities = np.array([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.9, 0.1, 0.0]])
    curves = compute_curves(probabilities, np.array([0, 1, 1]), 0.5)
    assert curves.confusion == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert [(b.probability, b.share, b.rows) for b in curves.calibration] == [
        (0.7, 1, 1),
        (0.8, 1, 1),
        (0.9, 0, 1),
    ]
    assert curves.roc == []
    assert curves.scores == []


def test_curves_are_small() -> None:
    """The curves of 5,000 rows take less than 20 KB in a card."""
    assert len(json.dumps(compute_curves(*decisions(), 0.5).model_dump())) < 20_000
    assert Curves.model_validate_json(compute_curves(*decisions(), 0.5).model_dump_json())


def test_auc_of_repeated_rows_is_that_of_a_longer_list() -> None:
    """A row counted three times is three rows; ties count half, as in scikit-learn."""
    probabilities, labels = decisions(300)
    times = np.random.default_rng(2).integers(0, 4, (5, 300)).astype(np.float64)
    wanted = [
        roc_auc_score(np.repeat(labels, t.astype(int)), np.repeat(probabilities, t.astype(int)))
        for t in times
    ]
    np.testing.assert_allclose(weighted_auc(probabilities, labels, times), wanted, rtol=1e-12)


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """Accuracy's interval is ± 1.96 standard errors within a tenth; all hold their metric."""
    probabilities, labels = decisions()
    metrics = compute_metrics(probabilities, labels, 0.5)
    intervals = bootstrap(probabilities, labels, 0.5)
    assert set(intervals) == {"accuracy", "log_loss", "brier", "auc"}
    low, high = intervals["accuracy"]
    error = np.sqrt(metrics["accuracy"] * (1 - metrics["accuracy"]) / len(labels))
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    for name, (low, high) in intervals.items():
        assert low < metrics[name] < high
    assert bootstrap(probabilities, labels, 0.5) == intervals


def test_pictures_have_intervals_too() -> None:
    """Accuracy and log-loss of ten classes lie within their intervals."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 10, 400)
    probabilities = rng.dirichlet(np.ones(10), 400) + 0.3 * np.eye(10)[labels]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    metrics = compute_metrics(probabilities, labels, 0.5)
    for name, (low, high) in bootstrap(probabilities, labels, 0.5).items():
        assert low < metrics[name] < high
