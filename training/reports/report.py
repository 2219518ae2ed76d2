"""Reports: reports/<name>/<version>/ with a model on one page, and its plots beside it.

The page needs no other file and no network. It shows pictures of test data, and is therefore never
part of the repository.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Literal

import jinja2
import numpy as np

from service.contract.image import ImageTask
from service.contract.tabular import TabularTask
from service.contract.task import Task
from service.models.artifacts.card import Card, Curves
from training.evaluation.curves import compute_curves, threshold_table
from training.evaluation.intervals import RESAMPLES, bootstrap, losses
from training.evaluation.metrics import Measurement, differences
from training.recipes import TASK_TRAININGS
from training.reports import plots
from training.reports.results import COLUMNS, comparison, kilobytes, select_task

PAGE = "index.html"
WORST = 40
SMALL = 1000
"""Test splits of fewer rows are called small: their accuracy has a standard error above .01."""
METRICS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "log_loss": "log-loss (nats)",
    "brier": "Brier score",
    "ece": "expected calibration error",
    "calibration_slope": "calibration slope",
    "ks": "Kolmogorov-Smirnov distance",
}


@dataclass(frozen=True)
class Picture:
    """A plot as PNG, with its title and caption."""

    file: str
    png: bytes
    title: str
    caption: str
    columns: Literal["one", "two", "all"] = "one"

    @property
    def source(self) -> str:
        """The PNG as the address of an `img`."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


def write_report(
    model: Measurement, cards: Sequence[Card], models_dir: Path, reports_dir: Path
) -> Path:
    """Write the report of a model, index.html and its plots; return the path of the page.

    `cards` are those to compare with, its own among them; other tasks' are left out. An earlier
    report is replaced. Raises OSError if the folder cannot be written.
    """
    card, rows = model.card, len(model.test.labels)
    training = TASK_TRAININGS[card.task]
    task = training.task
    curves = compute_curves(model.probabilities, model.test.labels, card.threshold)
    pictures = _pictures(model, curves, task)
    rivals = select_task(cards, card.task)
    accuracy = model.metrics["accuracy"]
    page = _template().render(
        card=card,
        kilobytes=kilobytes(card, models_dir),
        rows=rows,
        small=rows < SMALL,
        standard_error=(accuracy * (1 - accuracy) / rows) ** 0.5,
        metrics=_metrics(model),
        resamples=RESAMPLES,
        differences=differences(card, model.metrics),
        pictures=pictures,
        thresholds=threshold_table(curves.scores) if curves.scores else [],
        columns=COLUMNS,
        comparison=list(zip(rivals, comparison(rivals, models_dir), strict=True)),
    )
    folder = reports_dir / card.name / card.version
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        (folder / picture.file).write_bytes(picture.png)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _metrics(model: Measurement) -> list[tuple[str, float, tuple[float, float] | None]]:
    # Returns name, value and, where there is one, interval.
    intervals = bootstrap(model.probabilities, model.test.labels, model.card.threshold)
    return [
        (METRICS.get(name, name), value, intervals.get(name))
        for name, value in model.metrics.items()
    ]


def _pictures(model: Measurement, curves: Curves, task: Task) -> list[Picture]:
    return [
        *_history(model.card),
        *_answer_plots(task, model, curves),
    ]


def _history(card: Card) -> Iterator[Picture]:
    history = card.training.history
    if history:
        yield Picture(
            "history.png",
            plots.history_picture(history),
            "Training",
            "Training metrics are means over an epoch, with dropout and augmentation: those of "
            "validation may be better. "
            + ("" if "val_loss" in history else "No validation part was kept apart."),
            columns="all",
        )


@singledispatch
def _answer_plots(task: Task, model: Measurement, curves: Curves) -> Iterator[Picture]:
    """Yield the plots of a model's answers, by the kind of its task.

    Raises TypeError for a kind without any.
    """
    raise TypeError(f"task {task.name!r}: no plots for its kind, {type(task).__name__}")


@_answer_plots.register
def _decision_plots(task: TabularTask, model: Measurement, curves: Curves) -> Iterator[Picture]:
    labels = (f"no {task.decision}", task.decision)
    yield Picture(
        "roc.png",
        plots.roc_picture(curves.roc, model.metrics["auc"]),
        "ROC",
        "The share flagged of one class against that of the other, at every threshold.",
    )
    yield Picture(
        "precision-recall.png",
        plots.precision_recall_picture(curves.precision_recall, float(model.test.labels.mean())),
        "Precision and recall",
        f"The share of “{task.decision}” among rows flagged, against the share of it that is "
        "flagged.",
    )
    yield Picture(
        "calibration.png",
        plots.calibration_picture(curves.calibration, "probability answered", "share found"),
        "Calibration",
        f"{len(curves.calibration)} intervals of equal width with rows in them, and 95 % "
        "intervals of the share; on the dotted line, probabilities are right on average.",
    )
    yield Picture(
        "scores.png",
        plots.scores_picture(curves.scores, labels),
        "Scores by class",
        "The probabilities answered for rows of each class.",
    )
    yield Picture(
        "confusion.png",
        plots.confusion_picture(curves, labels),
        "Confusion matrix",
        f"Test rows, at the threshold {model.card.threshold:g}.",
    )


@_answer_plots.register
def _picture_plots(task: ImageTask, model: Measurement, curves: Curves) -> Iterator[Picture]:
    yield Picture(
        "confusion.png",
        plots.confusion_picture(curves, task.labels),
        "Confusion matrix",
        "Test pictures; the colour scale is stretched so that rare mistakes show.",
        columns="two",
    )
    yield Picture(
        "classes.png",
        plots.classes_picture(curves, task.labels),
        "Accuracy by class",
        "With 95 % intervals (Wilson).",
    )
    yield Picture(
        "calibration.png",
        plots.calibration_picture(curves.calibration, "probability of the answer", "share right"),
        "Calibration",
        "The probability of the answer given, with 95 % intervals of the share right; on the "
        "dotted line, probabilities are right on average.",
    )
    loss = losses(model.probabilities, model.test.labels)
    answers = model.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != model.test.labels)
    worst = wrong[np.argsort(-loss[wrong], kind="stable")][:WORST]
    if len(worst):
        yield Picture(
            "mistakes.png",
            plots.mistakes_picture(
                model.test.inputs[worst],
                [
                    format_title(
                        task.labels[model.test.labels[i]],
                        task.labels[answers[i]],
                        model.probabilities[i, answers[i]],
                    )
                    for i in worst
                ],
            ),
            "The worst mistakes",
            f"{len(worst)} of {len(wrong)}, the highest loss first: truth → answer, and the "
            "probability answered.",
            columns="all",
        )


def format_title(truth: str, answer: str, probability: float) -> str:
    """Format the title of a mistake, on three lines where names are long."""
    if max(len(truth), len(answer)) <= 2:
        return f"{truth} → {answer} {probability:.2f}"
    return f"{truth}\n→ {answer}\n{probability:.2f}"
