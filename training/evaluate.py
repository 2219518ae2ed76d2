"""Metrics of an exported model on labelled rows: what the card says, and what CI measures again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
    roc_curve,
)

from service.artifact import Card, read_artifact, some_names
from service.predictor import Predictor
from training.calibration import of_log_odds
from training.datasets import DataDiffers
from training.recipe import Part
from training.recipes import COURSES

BATCH = 1024
# Another processor sums in another order; one row in a thousand may round across the threshold.
TOLERANCE = 1e-3


def measure(predictor: Predictor, part: Part, threshold: float) -> dict[str, float]:
    """Metrics of a graph on one part of the data.

    Rows: those of `of_decisions`. Pictures: accuracy and log-loss.
    """
    batches = (part.inputs[start : start + BATCH] for start in range(0, len(part.inputs), BATCH))
    outputs = [predictor.predict(batch) for batch in batches]
    joined = {name: np.concatenate([o[name] for o in outputs]) for name in outputs[0]}
    if "probabilities" in joined:
        return _of_classes(joined["probabilities"], part.labels)
    return of_decisions(joined["probability"], part.labels, threshold)


def of_decisions(
    probability: NDArray[Any], labels: NDArray[np.int64], threshold: float
) -> dict[str, float]:
    """How good yes-or-no answers are.

    Accuracy at the threshold; area under the ROC curve; log-loss (nats); Brier score; expected
    calibration error; calibration slope (see `of_log_odds`); the Kolmogorov-Smirnov distance
    between the scores of the two classes.
    """
    yes, no, _ = roc_curve(labels, probability)
    return {
        "accuracy": float(accuracy_score(labels, probability >= threshold)),
        "auc": float(roc_auc_score(labels, probability)),
        "log_loss": float(log_loss(labels, probability.astype(np.float64))),
        "brier": float(brier_score_loss(labels, probability)),
        "ece": expected_calibration_error(probability, labels),
        "calibration_slope": of_log_odds(probability, labels)[0],
        "ks": float(np.max(no - yes)),
    }


def expected_calibration_error(probability: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Mean distance between probability said and share found, in 15 bins of equal width.

    Guo et al. 2017, "On Calibration of Modern Neural Networks". A perfectly calibrated model is not
    at 0 but at the noise of its bins.
    """
    bins = np.minimum((np.asarray(probability, np.float64) * 15).astype(np.int64), 14)
    excess = np.bincount(bins, np.asarray(probability, np.float64) - labels, 15)
    return float(np.abs(excess).sum() / len(labels))


def _of_classes(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, float]:
    # float32 softmax sums to 1 within a rounding only, which scikit-learn warns about.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(labels, exact.argmax(axis=1))),
        "log_loss": float(log_loss(labels, exact, labels=range(exact.shape[1]))),
    }


def measure_again(
    models_dir: Path, data_dir: Path | None
) -> Iterator[tuple[Card, dict[str, float]]]:
    """Each model's newest version and its metrics, measured anew on the test part.

    Raises ArtifactError if there is no model, and DataDiffers if one was trained on other data than
    there are now.
    """
    prepared = {}
    for name in some_names(models_dir):
        artifact = read_artifact(models_dir, name)
        card = artifact.card
        course = COURSES[card.task]
        if card.task not in prepared:
            prepared[card.task] = course.prepare(course.load(data_dir))
        data = prepared[card.task]
        if data.fingerprint != card.data.fingerprint:
            raise DataDiffers(
                f"{name}/{card.version} was trained on other data: expected fingerprint "
                f"{card.data.fingerprint[:12]}…, got {data.fingerprint[:12]}…"
            )
        yield card, measure(Predictor(artifact.model, "cpu"), data.test, card.threshold)


def differences(card: Card, metrics: dict[str, float]) -> list[str]:
    """Metrics that are not what the card says, in words; empty when all are.

    Metrics that came after a card was written are left out.
    """
    return [
        f"{card.name}/{card.version} {name}: expected {card.metrics[name]:.4f}, got {value:.4f}"
        for name, value in metrics.items()
        if name in card.metrics and not abs(value - card.metrics[name]) <= TOLERANCE
    ]
