"""Fairness: rates, scores, errors and calibration by group, on one test split.

The metrics are to be read before a model is used on people; they correct nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.contract.task import Task
from training.evaluation.cross_validation import THRESHOLD
from training.evaluation.metrics import binary_metrics, expected_calibration_error
from training.fitting.fit import fit
from training.layers.calibration import fit_log_odds
from training.markdown import markdown
from training.recipe import Split, TaskTraining

SMALLEST = 50
"""The fewest rows of a group that is printed."""
GROUPED = ("sex", "education", "marriage", "age")
AGES = (0, 25, 30, 40, 50, 60, 121)
HEAD = (
    "group",
    "rows",
    "base rate",
    "mean score",
    "flagged",
    "missed",
    "false alarms",
    "AUC",
    "ECE",
    "slope",
)
Groups = Mapping[str, NDArray[np.bool_]]


def fairness_page(
    training: TaskTraining, data_dir: Path | None, recipes: Sequence[str], epochs: int | None
) -> Iterator[str]:
    """Fit each recipe; yield a heading and a Markdown table: all rows, then every group."""
    data = training.prepare(training.load(data_dir))
    for recipe in recipes:
        model = fit(training, training.recipes[recipe], data, epochs=epochs, quiet=True).model
        scores = np.asarray(model(data.test.inputs, training=False), np.float64).reshape(-1)
        rows = [
            _line(name, scores[members], data.test.labels[members])
            for name, members in groups(training.task, data.test).items()
            if members.sum() >= SMALLEST
        ]
        yield f"### {recipe}\n\n{markdown(HEAD, rows)}\n"


def group_columns(task: Task) -> dict[str, int]:
    """Return the column numbers of the fields of `GROUPED` that a task has."""
    columns = {feature.name: index for index, feature in enumerate(task.contract.features)}
    return {name: columns[name] for name in GROUPED if name in columns}


def groups(task: Task, split: Split) -> Groups:
    """Return the rows of each group: all, then by each field of `GROUPED`, with ages in bands.

    Codes of one meaning are one group.
    """
    members = {"all": np.ones(len(split.labels), bool)}
    for name, index in group_columns(task).items():
        column, meanings = split.inputs[:, index], task.contract.features[index].codes
        for meaning in dict.fromkeys(meanings.values()):
            codes = [code for code, text in meanings.items() if text == meaning]
            members[f"{name}: {meaning}"] = np.isin(column, codes)
        if name == "age":
            for low, high in pairwise(AGES):
                words = f"under {high}" if not low else f"{low} to {high - 1}"
                words = f"{low} and over" if high > 120 else words
                members[f"age: {words}"] = (column >= low) & (column < high)
    return members


def _line(name: str, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> list[str]:
    flagged = scores >= THRESHOLD
    return [
        name,
        f"{len(labels):,}",
        f"{labels.mean():.3f}",
        f"{scores.mean():.3f}",
        f"{flagged.mean():.3f}",
        f"{1 - flagged[labels == 1].mean():.3f}",
        f"{flagged[labels == 0].mean():.3f}",
        f"{binary_metrics(scores, labels, THRESHOLD)['auc']:.3f}",
        f"{expected_calibration_error(scores, labels):.3f}",
        f"{fit_log_odds(scores, labels)[0]:.2f}",
    ]
