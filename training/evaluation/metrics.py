"""Metrics of an exported model on labelled rows, for its card and to compare with its card."""

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
from service.models.runtime.session import OnnxSession
from training.data.datasets import DataDiffers
from training.layers.calibration import fit_log_odds
from training.recipe import DataSplits, Split, TaskTraining
from training.recipes import TASK_TRAININGS

BATCH = 1024
TOLERANCE = 1e-3
"""The largest difference from a card. Another processor sums in another order, which may round one
row in a thousand across the threshold."""


@dataclass(frozen=True)
class Measurement:
    """A model's answers to the test split of its data, and its metrics."""

    artifact: Artifact
    test: Split
    probabilities: NDArray[np.float64]
    """The answers, as `predict_probabilities` returns them."""
    metrics: dict[str, float]

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.artifact.card


def measure(artifact: Artifact, test: Split) -> Measurement:
    """Run an exported graph on rows and compute its metrics."""
    probabilities = predict_probabilities(OnnxSession(artifact.model, "cpu"), test.inputs)
    metrics = compute_metrics(probabilities, test.labels, artifact.card.threshold)
    return Measurement(artifact, test, probabilities, metrics)


def predict_probabilities(session: OnnxSession, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Return a graph's probabilities, of yes [N] or of each class [N, K], where rows sum to 1."""
    batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    # The first output of every task is its probabilities.
    first = session.outputs[0].name
    answers = np.concatenate([session.run(batch)[first] for batch in batches])
    exact = answers.astype(np.float64)
    if exact.ndim > 1:
        # float32 softmax sums to 1 within a rounding only, which scikit-learn warns about.
        exact /= exact.sum(axis=1, keepdims=True)
    return exact


def compute_metrics(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], threshold: float
) -> dict[str, float]:
    """Compute the metrics of probabilities [N] (see `binary_metrics`) or [N, K].

    Metrics of K classes are accuracy, log-loss (nats) and the expected calibration error of the
    most likely class.
    """
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
    """Compute the metrics of probabilities of yes.

    They are accuracy at the threshold; area under the ROC curve; log-loss (nats); Brier score;
    expected calibration error; calibration slope (see `fit_log_odds`); the Kolmogorov-Smirnov
    distance between the scores of the two classes.
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
    """Compute the mean distance between probability and share of yes, in 15 bins of equal width.

    Guo et al. 2017, "On Calibration of Modern Neural Networks". A perfectly calibrated model is
    above 0, by the sampling noise of its bins.
    """
    exact = np.asarray(probability, np.float64)
    excess = np.bincount(bin_numbers(exact), exact - labels)
    return float(np.abs(excess).sum() / len(labels))


def bin_numbers(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number, from 0, of the one of 15 equal intervals that each probability is in."""
    return np.minimum((probability * 15).astype(np.int64), 14)


def latency_us(session: OnnxSession, row: NDArray[Any]) -> float:
    """Measure microseconds for one row on one thread: the median of single runs for .25 seconds."""
    times: list[int] = []
    end = time.perf_counter() + 0.25
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        session.run(row)
        times.append(time.perf_counter_ns() - start)
    return round(float(np.median(times)) / 1000, 1)


def measure_models(models_dir: Path, data_dir: Path | None) -> Iterator[Measurement]:
    """Measure each model's newest version on the test split.

    Raises ArtifactError if there is no model or one of an unknown task, and DataDiffers if a model
    was trained on other data.
    """
    splits: dict[str, DataSplits] = {}
    for name in some_names(models_dir):
        artifact = read_artifact(models_dir, name)
        card = artifact.card
        training = training_of(card)
        if card.task not in splits:
            splits[card.task] = training.prepare(training.load(data_dir))
        data = splits[card.task]
        check_data(card, data)
        yield measure(artifact, data.test)


def training_of(card: Card) -> TaskTraining:
    """Return the training of a model's task. Raises ArtifactError if there is none."""
    if card.task not in TASK_TRAININGS:
        raise ArtifactError(
            f"{card.name}/{card.version}: unknown task {card.task!r}; there are: "
            f"{', '.join(TASK_TRAININGS)}"
        )
    return TASK_TRAININGS[card.task]


def check_data(card: Card, data: DataSplits) -> None:
    """Raise DataDiffers unless a model was trained on this data."""
    if data.fingerprint != card.data.fingerprint:
        raise DataDiffers(
            f"{card.name}/{card.version} was trained on other data: expected fingerprint "
            f"{card.data.fingerprint[:12]}…, got {data.fingerprint[:12]}…"
        )


def differences(card: Card, metrics: dict[str, float]) -> list[str]:
    """List metrics that differ from the card, in words: name, expected and got.

    Metrics that the card does not have are left out.
    """
    return [
        f"{card.name}/{card.version} {name}: expected {card.metrics[name]:.4f}, got {value:.4f}"
        for name, value in metrics.items()
        if name in card.metrics and not abs(value - card.metrics[name]) <= TOLERANCE
    ]
