"""A task's figures by its own protocol: fitted anew on every split, measured on its test part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.contract.task import TabularTask
from training.evaluation.metrics import BATCH, compute_metrics
from training.fitting.fit import fit
from training.fitting.processes import worker_pool
from training.markdown import markdown
from training.recipe import DataSplits, TaskTraining

RECIPES = "training.recipes"
THRESHOLD = 0.5
Figures = dict[str, list[float]]
"""Each metric, one value a repeat."""


@dataclass(frozen=True)
class Fold:
    """A network's answers on one test part."""

    labels: NDArray[np.int64]
    answers: Mapping[int, NDArray[np.float64]]
    """The probabilities, of yes [N] or of each class [N, K], by how many fields were removed."""


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
    """The figures of a recipe, by how many optional fields of each test row were removed.

    `epochs` instead of the recipe's own is for trying it out. The training is `TRAINING` of
    `module`, by default of its task's own.
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
    """What networks fitted on each split answer on its test part, by repeat and fold.

    `repeats` is how many of the protocol's, by default all; other options are those of
    `measure_splits`.
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
    """What a fitted network answers: probabilities of yes [N], or of each class [N, K]."""
    batches = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    answers = np.concatenate(
        [keras.ops.convert_to_numpy(model(batch, training=False)) for batch in batches]
    ).astype(np.float64)
    if answers.shape[1] == 1:
        return answers.reshape(-1)
    # float32 softmax sums to 1 within a rounding only, which scikit-learn warns about.
    return np.asarray(answers / answers.sum(axis=1, keepdims=True))


def remove_fields(
    task: Any, rows: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Rows with `count` of their optional fields, chosen at random for each, not recorded."""
    assert isinstance(task, TabularTask)
    optional = np.flatnonzero([not feature.required for feature in task.features])
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
        if "auc" in values:  # scores of different networks are not ranked against each other
            each = [compute_metrics(f.answers[count], f.labels, THRESHOLD)["auc"] for f in folds]
            values["auc"] = float(np.mean(each))
        for name, value in values.items():
            figures.setdefault(name, []).append(value)
    return figures


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def metrics_table(figures: Mapping[str, Figures]) -> str:
    """A line for each recipe: every metric's mean and spread."""
    names = list(next(iter(figures.values())))
    return markdown(
        ["recipe", *names],
        [
            [recipe, *(mean_std(values[name]) for name in names)]
            for recipe, values in figures.items()
        ],
    )


def removed_table(figures: Mapping[int, Figures]) -> str:
    """A line for each number of fields removed."""
    names = ["auc", "log_loss", "brier", "ece", "calibration_slope"]
    return markdown(
        ["fields removed", *names],
        [[str(count), *(mean_std(f[name], 3) for name in names)] for count, f in figures.items()],
    )
