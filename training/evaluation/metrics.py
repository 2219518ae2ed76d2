"""Metrics of an exported model on labelled rows: what the card says, and what CI measures again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
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

from service.errors import ArtifactError
from service.models.artifacts.artifact import Artifact, read_artifact
from service.models.artifacts.card import Card
from service.models.artifacts.folder import some_names
from service.models.runtime.session import Predictor
from training.data.datasets import DataDiffers
from training.layers.calibration import fit_log_odds
from training.recipe import DataSplits, Split, TaskTraining
from training.recipes import TASK_TRAININGS

BATCH = 1024
# Another processor sums in another order; one row in a thousand may round across the threshold.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Measurement:
    """A model on the test part of its data."""

    artifact: Artifact
    test: Split
    probabilities: NDArray[np.float64]
    """As `predict_probabilities` gives them."""
    metrics: dict[str, float]

    @property
    def card(self) -> Card:
        """What the model's folder says of it."""
        return self.artifact.card


def measure(artifact: Artifact, test: Split) -> Measurement:
    """What an exported graph answers, and how good that is."""
    probabilities = predict_probabilities(Predictor(artifact.model, "cpu"), test.inputs)
    metrics = compute_metrics(probabilities, test.labels, artifact.card.threshold)
    return Measurement(artifact, test, probabilities, metrics)


def predict_probabilities(predictor: Predictor, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """A graph's answers: the probability of yes [N], or of each class [N, K], rows summing to 1."""
    batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    # A task's first output is its probabilities.
    first = predictor.outputs[0].name
    joined = np.concatenate([predictor.predict(batch)[first] for batch in batches])
    exact = joined.astype(np.float64)
    if exact.ndim > 1:
        # float32 softmax sums to 1 within a rounding only, which scikit-learn warns about.
        exact /= exact.sum(axis=1, keepdims=True)
    return exact


def compute_metrics(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], threshold: float
) -> dict[str, float]:
    """Rows: the metrics of `binary_metrics`. Pictures: accuracy, log-loss, ECE of the likeliest."""
    if probabilities.ndim == 1:
        return binary_metrics(probabilities, labels, threshold)
    classes = range(probabilities.shape[1])
    chosen = probabilities.argmax(axis=1)
    right = (chosen == labels).astype(np.int64)
    return {
        "accuracy": float(accuracy_score(labels, chosen)),
        "log_loss": float(log_loss(labels, probabilities, labels=classes)),
        "ece": expected_calibration_error(probabilities.max(axis=1), right),
    }


def binary_metrics(
    probability: NDArray[Any], labels: NDArray[np.int64], threshold: float
) -> dict[str, float]:
    """How good yes-or-no answers are.

    Accuracy at the threshold; area under the ROC curve; log-loss (nats); Brier score; expected
    calibration error; calibration slope (see `fit_log_odds`); the Kolmogorov-Smirnov distance
    between the scores of the two classes.
    """
    yes, no, _ = roc_curve(labels, probability)
    return {
        "accuracy": float(accuracy_score(labels, probability >= threshold)),
        "auc": float(roc_auc_score(labels, probability)),
        "log_loss": float(log_loss(labels, probability.astype(np.float64))),
        "brier": float(brier_score_loss(labels, probability)),
        "ece": expected_calibration_error(probability, labels),
        "calibration_slope": fit_log_odds(probability, labels)[0],
        "ks": float(np.max(no - yes)),
    }


def expected_calibration_error(probability: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Mean distance between probability said and share found, in 15 bins of equal width.

    Guo et al. 2017, "On Calibration of Modern Neural Networks". A perfectly calibrated model is not
    at 0 but at the noise of its bins.
    """
    exact = np.asarray(probability, np.float64)
    excess = np.bincount(bin_numbers(exact), exact - labels)
    return float(np.abs(excess).sum() / len(labels))


def bin_numbers(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of 15 intervals of equal width each probability is in, from 0."""
    return np.minimum((probability * 15).astype(np.int64), 14)


def latency_us(predictor: Predictor, row: NDArray[Any]) -> float:
    """Microseconds for one row on one thread: the median of single runs for a quarter second."""
    times: list[int] = []
    end = time.perf_counter() + 0.25
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        predictor.predict(row)
        times.append(time.perf_counter_ns() - start)
    return round(float(np.median(times)) / 1000, 1)


def measure_models(models_dir: Path, data_dir: Path | None) -> Iterator[Measurement]:
    """Each model's newest version, measured anew on the test part.

    Raises ArtifactError if there is no model or one of an unknown task, and DataDiffers if one was
    trained on other data than there are now.
    """
    prepared = {}
    for name in some_names(models_dir):
        artifact = read_artifact(models_dir, name)
        card = artifact.card
        training = training_of(card)
        if card.task not in prepared:
            prepared[card.task] = training.prepare(training.load(data_dir))
        data = prepared[card.task]
        check_data(card, data)
        yield measure(artifact, data.test)


def training_of(card: Card) -> TaskTraining:
    """The training of a model's task. Raises ArtifactError if there is none."""
    if card.task not in TASK_TRAININGS:
        raise ArtifactError(
            f"{card.name}/{card.version}: unknown task {card.task!r}; there are: "
            f"{', '.join(TASK_TRAININGS)}"
        )
    return TASK_TRAININGS[card.task]


def check_data(card: Card, data: DataSplits) -> None:
    """Raises DataDiffers unless a model was trained on this data."""
    if data.fingerprint != card.data.fingerprint:
        raise DataDiffers(
            f"{card.name}/{card.version} was trained on other data: expected fingerprint "
            f"{card.data.fingerprint[:12]}…, got {data.fingerprint[:12]}…"
        )


def differences(card: Card, metrics: dict[str, float]) -> list[str]:
    """Metrics that are not what the card says, in words; empty when all are.

    Metrics that came after a card was written are left out.
    """
    return [
        f"{card.name}/{card.version} {name}: expected {card.metrics[name]:.4f}, got {value:.4f}"
        for name, value in metrics.items()
        if name in card.metrics and not abs(value - card.metrics[name]) <= TOLERANCE
    ]
