"""Conformal sets and training ranges: the section `confidence` of a model card.

Split conformal prediction (Papadopoulos, Proedrou, Vovk and Gammerman 2002): the threshold is an
order statistic of the probabilities that the model gives the true labels of rows it was not fitted
to. Where rows are too few to keep any apart, cross-conformal prediction (Vovk 2015): each row is
answered by a network fitted without it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.contract.fields import Feature
from service.contract.uncertainty import Confidence, ConformalSets, OodThreshold, TrainingRange
from service.models.artifacts.card import Card
from service.models.runtime.session import OnnxSession
from training.evaluation.cross_validation import predict_with_keras
from training.evaluation.folds import Folds
from training.evaluation.metrics import predict_probabilities
from training.fitting.fit import fit
from training.recipe import DataSplits, Split, TaskTraining

HALVES_SEED = FOLDS_SEED = 0


@dataclass(frozen=True)
class LabelledAnswers:
    """Probabilities [N] of yes or [N, K] of classes, the rows' labels, and which rows, in words."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    words: str

    @property
    def of_truth(self) -> NDArray[np.float64]:
        """The probability that each row's true label was given, float64[N]."""
        if self.probabilities.ndim == 1:
            return np.where(self.labels == 1, self.probabilities, 1 - self.probabilities)
        return np.asarray(self.probabilities[np.arange(len(self.labels)), self.labels])


def compute_confidence(
    training: TaskTraining,
    recipe: str,
    session: OnnxSession,
    data: DataSplits,
    ood_threshold: OodThreshold | None,
    *,
    seed: int,
    epochs: int,
) -> Confidence:
    """Compute the section `confidence` of a card.

    `ood_threshold` is that of a graph of pictures. `seed` and `epochs` are those of the
    model's own fit: cross-conformal calibration fits networks like it on fewer rows.
    """
    calibrating, reporting = collect_answers(
        training, recipe, session, data, seed=seed, epochs=epochs
    )
    rows = training.recipes[recipe].rows_to_fit(data)
    features = training.task.contract.features
    return Confidence(
        conformal=calibrate_sets(training.coverage, calibrating, reporting),
        ood=ood_threshold,
        training_ranges=tuple(
            training_range(f, column) for f, column in zip(features, rows.inputs.T, strict=False)
        ),
    )


def collect_answers(
    training: TaskTraining,
    recipe: str,
    session: OnnxSession,
    data: DataSplits,
    *,
    seed: int,
    epochs: int,
) -> tuple[LabelledAnswers, LabelledAnswers]:
    """Return a model's answers to rows to choose a threshold on, and to others to measure it."""

    def answer(split: Split, words: str) -> LabelledAnswers:
        return LabelledAnswers(predict_probabilities(session, split.inputs), split.labels, words)

    # Synthetic rows are never too few, so nothing is fitted again for them.
    if training.folds and data.published:
        chosen = training.recipes[recipe]
        folds = Folds.of(data, training.folds, FOLDS_SEED)
        parts = [folds.fold(n, validates=chosen.validates) for n in range(training.folds)]
        models = [
            fit(training, chosen, part, seed=seed, epochs=epochs, quiet=True).model
            for part in parts
        ]
        apart = [
            predict_with_keras(m, part.test.inputs) for m, part in zip(models, parts, strict=True)
        ]
        labels = np.concatenate([part.test.labels for part in parts])
        words = (
            f"the rows that are not of the test part, each answered by one of {len(parts)} such "
            "networks fitted without it"
        )
        return LabelledAnswers(np.concatenate(apart), labels, words), answer(
            data.test, "the test part"
        )
    if training.recipes[recipe].validates:
        words = "the validation part, which the network was not fitted to"
        if training.recipes[recipe].calibrates:
            words += ", but its calibration was"
        return answer(data.validation, words), answer(data.test, "the test part")
    one, other = halve(data.test)
    words = (
        f"half of the test part, drawn at random (stratified, random_state {HALVES_SEED}): the "
        "network learned from all else"
    )
    return answer(one, words), answer(other, "the other half of the test part")


def halve(split: Split) -> tuple[Split, Split]:
    """Split rows into two halves at random, stratified by label."""
    one, other = train_test_split(
        np.arange(len(split.labels)),
        test_size=0.5,
        stratify=split.labels,
        random_state=HALVES_SEED,
    )
    return Split(split.inputs[one], split.labels[one]), Split(
        split.inputs[other], split.labels[other]
    )


def conformal_threshold(of_truth: NDArray[np.float64], coverage: float) -> float:
    """Return the lowest probability of an answer in a set, 0..1.

    With it, the set of a row exchangeable with those given holds its true label with a probability
    of at least `coverage`. It is 0 where the rows are too few to exclude any answer.
    """
    count = len(of_truth)
    left_out = count - math.ceil((count + 1) * coverage)
    return float(np.sort(of_truth)[left_out]) if left_out >= 0 else 0.0


def calibrate_sets(
    coverage: float, calibrating: LabelledAnswers, reporting: LabelledAnswers
) -> ConformalSets:
    """Calibrate sets on some rows and measure them on others."""
    threshold = conformal_threshold(calibrating.of_truth, coverage)
    measured, unclear = measure_sets(threshold, reporting)
    return ConformalSets(
        coverage=coverage,
        threshold=threshold,
        calibrated_on=calibrating.words,
        calibrated_rows=len(calibrating.labels),
        measured=measured,
        measured_on=reporting.words,
        measured_rows=len(reporting.labels),
        non_singleton_share=unclear,
    )


def measure_sets(threshold: float, rows: LabelledAnswers) -> tuple[float, float]:
    """Return the share of sets that hold the true label, and of sets without exactly one answer."""
    inside = rows.of_truth >= threshold
    if rows.probabilities.ndim == 1:
        yes = rows.probabilities
        single = (yes >= threshold) != (1 - yes >= threshold)
    else:
        # The likeliest class is in a set however small its probability.
        inside |= rows.probabilities.argmax(axis=1) == rows.labels
        single = (rows.probabilities >= threshold).sum(axis=1) <= 1
    return float(inside.mean()), float(1 - single.mean())


def training_range(feature: Feature, values: NDArray[np.float32]) -> TrainingRange:
    """Return a field's range in the training rows, or the codes that occur; NaN is left out."""
    recorded = values[~np.isnan(values)]
    if feature.kind == "code":
        return TrainingRange(
            name=feature.name, codes=tuple(int(code) for code in np.unique(recorded))
        )
    if not len(recorded):
        return TrainingRange(name=feature.name)
    # The shortest text of a float32 is the number that was recorded: 6.2, not 6.19999980926.
    low, high = (float(str(value)) for value in (recorded.min(), recorded.max()))
    return TrainingRange(name=feature.name, low=low, high=high)


def format_confidence(card: Card) -> str:
    """Format the confidence of a card in one line."""
    if (confidence := card.confidence) is None:
        return "its card has no section on confidence"
    sets = confidence.conformal
    text = (
        f"sets for {sets.coverage:.1%}: answers of {sets.threshold:.4g} and more, "
        f"{sets.measured:.2%} hold the truth of {sets.measured_rows:,} rows, "
        f"{sets.non_singleton_share:.1%} without one answer"
    )
    if (ood := confidence.ood) is None:
        return text
    flagged = ", ".join(f"{kind} {share:.1%}" for kind, share in ood.flagged.items())
    return f"{text}; flagged as unlike the training pictures: {flagged}"
