"""How far a model's answers are to be trusted, measured on rows it did not learn from.

Split conformal prediction (Papadopoulos, Proedrou, Vovk and Gammerman 2002): the cutoff is an order
statistic of what the model gave the truth of other rows. Where rows are too few to keep any apart,
as cross-conformal prediction does (Vovk 2015): of each row, the answer of a network fitted without.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.contract.fields import Feature
from service.contract.task import TabularTask
from service.contract.uncertainty import Confidence, Familiar, Seen, Sets
from service.models.artifacts.card import Card
from service.models.runtime.session import Predictor
from training.evaluation.cross_validation import predict_with_keras
from training.evaluation.folds import Folds
from training.evaluation.metrics import predict_probabilities
from training.fitting.fit import fit
from training.recipe import DataSplits, Recipe, Split, TaskTraining, concat

HALVES_SEED = FOLDS_SEED = 0


@dataclass(frozen=True)
class LabelledAnswers:
    """Answers to rows, [N] or [N, K], the truth of each, and which rows they are, in words."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    words: str

    @property
    def of_truth(self) -> NDArray[np.float64]:
        """The probability that each row's truth was given."""
        if self.probabilities.ndim == 1:
            return np.where(self.labels == 1, self.probabilities, 1 - self.probabilities)
        return np.asarray(self.probabilities[np.arange(len(self.labels)), self.labels])


def compute_confidence(
    training: TaskTraining,
    recipe: str,
    predictor: Predictor,
    data: DataSplits,
    familiar: Familiar | None,
    *,
    seed: int,
    epochs: int,
) -> Confidence:
    """The section of a card.

    `seed` and `epochs` are those of the model's own fit, for others like it on fewer rows.
    """
    calibrating, reporting = collect_answers(
        training, recipe, predictor, data, seed=seed, epochs=epochs
    )
    learned = learned_part(training.recipes[recipe], data)
    features = training.task.features if isinstance(training.task, TabularTask) else ()
    return Confidence(
        sets=calibrate_sets(training.coverage, calibrating, reporting),
        familiar=familiar,
        seen=tuple(
            training_range(f, column) for f, column in zip(features, learned.inputs.T, strict=False)
        ),
    )


def collect_answers(
    training: TaskTraining,
    recipe: str,
    predictor: Predictor,
    data: DataSplits,
    *,
    seed: int,
    epochs: int,
) -> tuple[LabelledAnswers, LabelledAnswers]:
    """The rows to choose a cutoff on, and others to measure it on, with a model's answers."""

    def answered(part: Split, words: str) -> LabelledAnswers:
        return LabelledAnswers(predict_probabilities(predictor, part.inputs), part.labels, words)

    # Made-up rows are as many as one likes, and nothing is fitted again for them.
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
        return LabelledAnswers(np.concatenate(apart), labels, words), answered(
            data.test, "the test part"
        )
    if training.recipes[recipe].validates:
        words = "the validation part, which the network was not fitted to"
        if training.recipes[recipe].calibrates:
            words += ", but its calibration was"
        return answered(data.validation, words), answered(data.test, "the test part")
    one, other = halve(data.test)
    words = (
        f"half of the test part, drawn at random (stratified, random_state {HALVES_SEED}): the "
        "network learned from all else"
    )
    return answered(one, words), answered(other, "the other half of the test part")


def halve(part: Split) -> tuple[Split, Split]:
    """Of the same classes in the same shares."""
    one, other = train_test_split(
        np.arange(len(part.labels)),
        test_size=0.5,
        stratify=part.labels,
        random_state=HALVES_SEED,
    )
    return Split(part.inputs[one], part.labels[one]), Split(part.inputs[other], part.labels[other])


def learned_part(recipe: Recipe, data: DataSplits) -> Split:
    """The rows that a recipe learns from."""
    return data.train if recipe.validates else concat(data.train, data.validation)


def conformal_threshold(of_truth: NDArray[np.float64], coverage: float) -> float:
    """The lowest probability that an answer in a set has.

    With it, the set of a row exchangeable with those given holds its truth with a probability of
    `coverage` at least. 0 where there are too few rows to promise less than everything.
    """
    count = len(of_truth)
    left_out = count - math.ceil((count + 1) * coverage)
    return float(np.sort(of_truth)[left_out]) if left_out >= 0 else 0.0


def calibrate_sets(
    coverage: float, calibrating: LabelledAnswers, reporting: LabelledAnswers
) -> Sets:
    """Sets calibrated on some rows and measured on others."""
    cutoff = conformal_threshold(calibrating.of_truth, coverage)
    measured, ambiguous = measure_sets(cutoff, reporting)
    return Sets(
        coverage=coverage,
        cutoff=cutoff,
        calibrated_on=calibrating.words,
        calibrated_rows=len(calibrating.labels),
        measured=measured,
        measured_on=reporting.words,
        measured_rows=len(reporting.labels),
        ambiguous=ambiguous,
    )


def measure_sets(cutoff: float, rows: LabelledAnswers) -> tuple[float, float]:
    """The share of sets that hold the truth, and of those without exactly one answer."""
    inside = rows.of_truth >= cutoff
    if rows.probabilities.ndim == 1:
        yes = rows.probabilities
        single = (yes >= cutoff) != (1 - yes >= cutoff)
    else:
        # The likeliest class is in a set however small its probability.
        inside |= rows.probabilities.argmax(axis=1) == rows.labels
        single = (rows.probabilities >= cutoff).sum(axis=1) <= 1
    return float(inside.mean()), float(1 - single.mean())


def training_range(feature: Feature, values: NDArray[np.float32]) -> Seen:
    """What training rows hold of a field, where it was recorded."""
    recorded = values[~np.isnan(values)]
    if feature.kind == "code":
        return Seen(name=feature.name, codes=tuple(int(code) for code in np.unique(recorded)))
    if not len(recorded):
        return Seen(name=feature.name)
    # The shortest text of a float32 is the number that was recorded: 6.2, not 6.19999980926.
    low, high = (float(str(value)) for value in (recorded.min(), recorded.max()))
    return Seen(name=feature.name, low=low, high=high)


def format_confidence(card: Card) -> str:
    """What a card says of confidence, in brief."""
    if (confidence := card.confidence) is None:
        return "nothing is known of its confidence"
    sets = confidence.sets
    text = (
        f"sets for {sets.coverage:.1%}: answers of {sets.cutoff:.4g} and more, {sets.measured:.2%} "
        f"hold the truth of {sets.measured_rows:,} rows, {sets.ambiguous:.1%} without one answer"
    )
    if (familiar := confidence.familiar) is None:
        return text
    flagged = ", ".join(f"{kind} {share:.1%}" for kind, share in familiar.flagged.items())
    return f"{text}; flagged as unlike what it learned from: {flagged}"
