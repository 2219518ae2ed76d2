"""The page of `foretell evaluate TASK --confidence`: measured coverage and flagged shares."""

import csv
import os
from collections.abc import Iterator, Mapping
from functools import singledispatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.contract.image import ImageTask
from service.contract.rows import RowTask
from service.contract.task import Task
from service.contract.uncertainty import OOD_SCORE, Confidence
from service.errors import ArtifactError
from service.models.artifacts.artifact import Artifact
from service.models.runtime.session import OnnxSession
from training.confidence.conformal import LabelledAnswers, conformal_threshold, halve, measure_sets
from training.confidence.ood_benchmark import LOOKALIKES, Pictures, draw_benchmark, letters
from training.data.downloads import DATA_DIR
from training.evaluation.cross_validation import fold_answers, mean_std
from training.evaluation.metrics import BATCH, check_data, predict_probabilities
from training.markdown import markdown
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS

COUNT = 1000
"""The number of benchmark pictures of each kind."""
SEED = 2026
REPEATS = 2
"""The repeats used of a protocol of few rows: more would test the same rows again."""


def confidence_page(
    training: TaskTraining, artifact: Artifact, data: DataSplits, data_dir: Path | None
) -> Iterator[str]:
    """Yield sections of Markdown about an exported model: its sets, and the shares it flags.

    Raises ArtifactError if the card has no section on confidence, DataDiffers if the data are other
    than those that the model was trained on.
    """
    card = artifact.card
    check_data(card, data)
    if (confidence := card.confidence) is None:
        raise ArtifactError(f"{card.name}/{card.version} has no section on confidence in its card")
    session = OnnxSession(artifact.model, "cpu")
    yield f"# {card.name}/{card.version}\n\n{_sets(training, confidence, session, data)}"
    yield from _flagged_sections(training.task, confidence, session, data, data_dir)


@singledispatch
def _flagged_sections(
    task: Task,
    confidence: Confidence,
    session: OnnxSession,
    data: DataSplits,
    data_dir: Path | None,
) -> Iterator[str]:
    """Yield the sections on inputs unlike those of training, by the kind of the task.

    Raises TypeError for a kind without any.
    """
    raise TypeError(f"task {task.name!r}: no such sections for its kind, {type(task).__name__}")


@_flagged_sections.register
def _flagged_rows(
    task: RowTask,
    confidence: Confidence,
    session: OnnxSession,
    data: DataSplits,
    data_dir: Path | None,
) -> Iterator[str]:
    outside = task.range_check(confidence).outside(data.test.inputs)
    yield f"Rows of the test part outside the range of training: {outside.mean():.2%}"


@_flagged_sections.register
def _flagged_pictures(
    task: ImageTask,
    confidence: Confidence,
    session: OnnxSession,
    data: DataSplits,
    data_dir: Path | None,
) -> Iterator[str]:
    yield _own_kind(task, confidence, session, data, data_dir)
    yield _others(task, confidence, session, data_dir)
    if task.name == "digits":
        yield _letters(task, confidence, session)


def _sets(
    training: TaskTraining, confidence: Confidence, session: OnnxSession, data: DataSplits
) -> str:
    sets, split = confidence.conformal, data.test
    if sets.measured_rows < len(split.labels):
        split = halve(split)[1]
    answers = LabelledAnswers(
        predict_probabilities(session, split.inputs), split.labels, sets.measured_on
    )
    covered, unclear = measure_sets(sets.threshold, answers)
    lines = [["all", f"{len(split.labels):,}", f"{covered:.2%}", f"{unclear:.2%}"]]
    labels = training.task.contract.labels or ("no", "yes")
    for number, label in enumerate(labels):
        these = split.labels == number
        one = LabelledAnswers(answers.probabilities[these], split.labels[these], label)
        shares = (f"{share:.2%}" for share in measure_sets(sets.threshold, one))
        lines.append([label, f"{int(these.sum()):,}", *shares])
    return (
        f"Sets for {sets.coverage:.1%}: answers of a probability of {sets.threshold:.4g} and more, "
        f"a threshold chosen on {sets.calibrated_rows:,} rows: {sets.calibrated_on}. Measured on "
        f"{sets.measured_on}:\n\n"
        + markdown(["truth", "rows", "sets that hold it", "sets without exactly one answer"], lines)
    )


def _own_kind(
    task: ImageTask,
    confidence: Confidence,
    session: OnnxSession,
    data: DataSplits,
    data_dir: Path | None,
) -> str:
    groups: dict[str, Pictures] = {"test part": data.test.inputs}
    copies = data_dir or os.environ.get(DATA_DIR)
    if task.name == "digits" and copies:
        groups |= read_drawn_digits(task, Path(copies))
    return _table("What it is meant for", _flagged(confidence, session, groups))


def read_drawn_digits(task: ImageTask, data_dir: Path) -> dict[str, Pictures]:
    """Read digits drawn by people, if copies of them (drawn, hwd-1000) lie beside the data."""
    drawn, sets = {}, {"drawn": "drawn/*.csv", "HwD-1000": "hwd-1000/*.png"}
    for name, pattern in sets.items():
        files = sorted(data_dir.glob(pattern))
        if files and files[0].suffix == ".csv":
            with files[0].open(newline="") as manifest:
                files = [files[0].parent / row["file"] for row in csv.DictReader(manifest)]
        if files:
            read = [task.read(f.read_bytes()) for f in files]
            drawn[name] = np.stack(read)
    return drawn


def _others(
    task: ImageTask, confidence: Confidence, session: OnnxSession, data_dir: Path | None
) -> str:
    groups = {}
    for other in TASK_TRAININGS.values():
        if other.task.contract.labels and other.task.name != task.name:
            test = other.prepare(other.load(data_dir)).test
            for number, label in enumerate(other.task.contract.labels):
                groups[f"{other.task.name}: {label}"] = test.inputs[test.labels == number]
    groups |= draw_benchmark(task, COUNT, SEED)
    flagged = _flagged(confidence, session, groups)
    photographs = {name for name in flagged if name.startswith("photo")}
    kinds = {name: found for name, found in flagged.items() if name not in photographs}
    by_kind: dict[str, list[float]] = {}
    for name, found in kinds.items():
        by_kind.setdefault(name.split(":")[0], []).append(float(found.mean()))
    pooled = float(np.concatenate(list(kinds.values())).mean())
    means = ", ".join(f"{kind} {np.mean(shares):.1%}" for kind, shares in by_kind.items())
    return (
        _table("Other things", flagged)
        + f"\n\nMeans: {means}.\nAll pictures but photographs: {pooled:.2%}."
    )


def _letters(task: ImageTask, confidence: Confidence, session: OnnxSession) -> str:
    found = {
        each: float(flags.mean())
        for each, flags in _flagged(confidence, session, letters(task)).items()
    }
    other = [share for each, share in found.items() if each not in LOOKALIKES]
    alike = [share for each, share in found.items() if each in LOOKALIKES]
    return (
        "Letters, each in twelve fonts: the share flagged\n\n"
        + " ".join(f"{each} {share:.0%}" for each, share in found.items())
        + f"\n\nOf the {len(other)} that look like no digit, {np.mean(other):.1%} of the pictures "
        f"and, by the letter, {np.mean(np.array(other) >= 0.5):.1%} (at least half of its "
        f"pictures); of the {len(alike)} that do ({''.join(LOOKALIKES)}), {np.mean(alike):.1%}."
    )


def _flagged(
    confidence: Confidence, session: OnnxSession, groups: Mapping[str, Pictures]
) -> dict[str, NDArray[np.bool_]]:
    assert confidence.ood is not None
    threshold = confidence.ood.threshold
    return {
        name: np.concatenate(
            [
                session.run(pictures[start : start + BATCH])[OOD_SCORE] < threshold
                for start in range(0, len(pictures), BATCH)
            ]
        )
        for name, pictures in groups.items()
    }


def _table(title: str, flagged: Mapping[str, NDArray[np.bool_]]) -> str:
    lines = [[name, f"{len(found):,}", f"{found.mean():.2%}"] for name, found in flagged.items()]
    return markdown([title, "pictures", "flagged"], lines)


def repeated_coverage(
    training: TaskTraining, recipe: str, data_dir: Path | None, epochs: int | None
) -> str:
    """Measure coverage over a task's own folds, each fold's threshold chosen on the other folds.

    It is for tasks of few rows: the standard error on a test split of 61 is about 3 points.
    """
    covered, unclear = [], []
    for folds in fold_answers(training, recipe, data_dir, repeats=REPEATS, epochs=epochs):
        shares = []
        for place, fold in enumerate(folds):
            others = [f for n, f in enumerate(folds) if n != place]
            calibrating = LabelledAnswers(
                np.concatenate([f.answers[0] for f in others]),
                np.concatenate([f.labels for f in others]),
                "the other folds",
            )
            threshold = conformal_threshold(calibrating.of_truth, training.coverage)
            shares.append(
                measure_sets(threshold, LabelledAnswers(fold.answers[0], fold.labels, "the fold"))
            )
        sizes = [len(fold.labels) for fold in folds]
        mean = np.average(np.array(shares), axis=0, weights=sizes)
        covered.append(float(mean[0]))
        unclear.append(float(mean[1]))
    return (
        f"{recipe}, sets for {training.coverage:.1%}, {len(covered)} times {len(folds)} folds: "
        f"they hold the truth of {mean_std(covered)} of the rows; {mean_std(unclear)} are "
        "uncertain"
    )
