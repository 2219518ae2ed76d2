"""Repeated cross-validation: a network fitted for every split of a task's evaluation protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.contract.task import Task
from training.evaluation.metrics import BATCH, compute_metrics
from training.fitting.fit import fit
from training.fitting.processes import worker_pool
from training.markdown import markdown
from training.recipe import DataSplits, TaskTraining

RECIPES = "training.recipes"
THRESHOLD = 0.5
Figures = dict[str, list[float]]
"""The values of each metric by name, one for each repeat."""


@dataclass(frozen=True)
class Fold:
    """A network's answers on one test split."""

    labels: NDArray[np.int64]
    answers: Mapping[int, NDArray[np.float64]]
    """The probabilities, of yes [N] or of each class [N, K], by the number of fields removed."""


def measure_splits(
    training: TaskTraining,
    recipe: str,
    data_dir: Path | None,
    *,
    removed: Sequence[int] = (0,),
    processes: int | None = None,
    epochs: int | None = None,
    module: str | None = None,
) -> dict[int, Figures]:
    """Compute a recipe's metrics, by the number of optional fields removed from each test row.

    `epochs` replaces the recipe's own, to try it out. Processes take `TRAINING` from `module`, by
    default that of the task's recipes.
    """
    measured = fold_answers(
        training,
        recipe,
        data_dir,
        removed=removed,
        processes=processes,
        epochs=epochs,
        module=module,
    )
    return {count: _figures(measured, count) for count in removed}


def fold_answers(
    training: TaskTraining,
    recipe: str,
    data_dir: Path | None,
    *,
    removed: Sequence[int] = (0,),
    repeats: int | None = None,
    processes: int | None = None,
    epochs: int | None = None,
    module: str | None = None,
) -> list[list[Fold]]:
    """Fit a network on each split and return its answers on the test split, by repeat and fold.

    `repeats` is the number of the protocol's repeats used, by default all; other options are those
    of `measure_splits`.
    """
    chosen = training.protocol.repeats(training.load(data_dir))[:repeats]
    jobs = [
        (module or f"{RECIPES}.{training.task.name}", recipe, fold, seed, tuple(removed), epochs)
        for seed, folds in enumerate(chosen)
        for fold in folds
    ]
    with worker_pool(len(jobs), processes) as pool:
        answered = pool.map(_fold, *zip(*jobs, strict=True))
        return [[next(answered) for _ in folds] for folds in chosen]


def _fold(
    module: str,
    recipe: str,
    data: DataSplits,
    seed: int,
    removed: Sequence[int],
    epochs: int | None,
) -> Fold:
    training: TaskTraining = import_module(module).TRAINING
    model = fit(
        training, training.recipes[recipe], data, seed=seed, epochs=epochs, quiet=True
    ).model
    answers = {}
    for count in removed:
        rows = data.test.inputs
        if count:
            rows = remove_fields(training.task, rows, count, np.random.default_rng(seed))
        answers[count] = predict_with_keras(model, rows)
    return Fold(data.test.labels, answers)


def predict_with_keras(model: keras.Model, rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return a fitted network's probabilities, of yes [N] or of each class [N, K]."""
    batches = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    answers = np.concatenate(
        [keras.ops.convert_to_numpy(model(batch, training=False)) for batch in batches]
    ).astype(np.float64)
    if answers.shape[1] == 1:
        return answers.reshape(-1)
    # float32 softmax sums to 1 within a rounding only, which scikit-learn warns about.
    return np.asarray(answers / answers.sum(axis=1, keepdims=True))


def remove_fields(
    task: Task, rows: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return rows with `count` of their optional fields, drawn for each row, set to NaN."""
    optional = np.flatnonzero([not feature.required for feature in task.contract.features])
    order = np.argsort(rng.random((len(rows), len(optional))), axis=1)
    poorer = rows.copy()
    np.put_along_axis(poorer, optional[order[:, :count]], np.nan, axis=1)
    return poorer


def _figures(repeats: Sequence[Sequence[Fold]], count: int) -> Figures:
    figures: Figures = {}
    for folds in repeats:
        labels = np.concatenate([fold.labels for fold in folds])
        pooled = np.concatenate([fold.answers[count] for fold in folds])
        values = compute_metrics(pooled, labels, THRESHOLD)
        if "auc" in values:  # scores of different networks must not be ranked against each other
            each = [compute_metrics(f.answers[count], f.labels, THRESHOLD)["auc"] for f in folds]
            values["auc"] = float(np.mean(each))
        for name, value in values.items():
            figures.setdefault(name, []).append(value)
    return figures


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """Format mean ± standard deviation."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def metrics_table(figures: Mapping[str, Figures]) -> str:
    """Format a line for each recipe: every metric's mean and standard deviation."""
    names = list(next(iter(figures.values())))
    return markdown(
        ["recipe", *names],
        [
            [recipe, *(mean_std(values[name]) for name in names)]
            for recipe, values in figures.items()
        ],
    )


def removed_table(figures: Mapping[int, Figures]) -> str:
    """Format a line for each number of fields removed."""
    names = ["auc", "log_loss", "brier", "ece", "calibration_slope"]
    return markdown(
        ["fields removed", *names],
        [[str(count), *(mean_std(f[name], 3) for name in names)] for count, f in figures.items()],
    )
