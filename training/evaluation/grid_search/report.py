"""The report of a grid search: a table and a plot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.cross_validation import mean_std
from training.evaluation.grid_search.grid import Value, Values, format_value
from training.evaluation.grid_search.trials import Trial
from training.markdown import markdown

METRICS = {"accuracy": "accuracy", "auc": "AUC", "log_loss": "log-loss"}
PARTS = {"train": "training", "held_out": "held out"}


@dataclass(frozen=True)
class Cell:
    """One combination of values, and its trial on each fold."""

    values: Values
    trials: Sequence[Trial]

    @property
    def diverged(self) -> int:
        """The number of folds on which the fit diverged."""
        return sum(trial.diverged is not None for trial in self.trials)

    def scores(self, part: str, metric: str) -> list[float]:
        """Return the score of each fold; `part` is `train` or `held_out`."""
        return [getattr(trial, part)[metric] for trial in self.trials]

    @property
    def rank(self) -> float:
        """The mean log-loss held out; it depends on confidence and has less noise than accuracy."""
        return math.inf if self.diverged else float(np.mean(self.scores("held_out", "log_loss")))


def rank_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Sort cells, the best first."""
    return sorted(cells, key=lambda cell: cell.rank)


def list_metrics(cells: Sequence[Cell]) -> list[str]:
    """List the metrics that the cells were scored by."""
    scored = next((cell for cell in cells if not cell.diverged), None)
    return [] if scored is None else [name for name in METRICS if name in scored.trials[0].train]


def grid_table(cells: Sequence[Cell]) -> str:
    """Format a line for each cell, the best first and in bold."""
    metrics = list_metrics(cells)
    head = [f"{METRICS[metric]} {words}" for metric in metrics for words in PARTS.values()]
    rows = []
    for place, cell in enumerate(rank_cells(cells)):
        bold = "**" if place == 0 and not cell.diverged else ""
        values = [f"{bold}{format_value(value)}{bold}" for value in cell.values.values()]
        if cell.diverged:
            words = f"diverged on {cell.diverged} of {len(cell.trials)} folds"
            rows.append([*values, *[words, *[""] * len(head)][: len(head) + 1]])
            continue
        scores = [mean_std(cell.scores(part, metric)) for metric in metrics for part in PARTS]
        seconds = f"{np.mean([trial.seconds for trial in cell.trials]):.1f}"
        rows.append([*values, *scores, seconds])
    return markdown([*cells[0].values, *head, "seconds"], rows)


def write_picture(
    cells: Sequence[Cell], grid: Mapping[str, Sequence[Value]], path: Path, title: str
) -> None:
    """Plot scores of training and held-out rows as PNG: lines for one parameter, else heat maps.

    With more than two parameters, the first two are drawn, with the best values of the others.
    """
    metrics = list_metrics(cells)
    if len(grid) == 1:
        figure = Figure(figsize=(4.5 * len(metrics), 3.8), layout="constrained")
        for axes, metric in zip(np.ravel(figure.subplots(1, len(metrics))), metrics, strict=True):
            _lines(axes, cells, metric)
    else:
        figure = Figure(figsize=(9, 3.4 * len(metrics)), layout="constrained")
        places = figure.subplots(len(metrics), len(PARTS), squeeze=False)
        for row, metric in zip(places, metrics, strict=True):
            means = {part: _means(cells, grid, metric, part) for part in PARTS}
            for axes, part in zip(row, PARTS, strict=True):
                _heat_map(axes, grid, metric, part, means)
    figure.suptitle(title, fontsize=10, wrap=True)
    figure.savefig(path, dpi=120)


def _lines(axes: Axes, cells: Sequence[Cell], metric: str) -> None:
    (name,) = cells[0].values
    # Steps are equal whatever the values are, for example 1e-4, 1e-3, none.
    axes.set_xticks(
        range(len(cells)),
        [
            format_value(cell.values[name]) + ("\ndiverged" if cell.diverged else "")
            for cell in cells
        ],
    )
    drawn = [(place, cell) for place, cell in enumerate(cells) if not cell.diverged]
    for part, words in PARTS.items():
        scores = [cell.scores(part, metric) for _, cell in drawn]
        axes.errorbar(
            [place for place, _ in drawn],
            [np.mean(values) for values in scores],
            [np.std(values) for values in scores],
            marker="o",
            capsize=3,
            label=words,
        )
    axes.set(xlabel=name, title=f"{METRICS[metric]} ± standard deviation")
    axes.set_xlim(-0.5, len(cells) - 0.5)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()


def _means(
    cells: Sequence[Cell], grid: Mapping[str, Sequence[Value]], metric: str, part: str
) -> NDArray[np.float64]:
    """Compute means over folds, by values of the first two parameters; NaN where a fit diverged."""
    (down, rows), (across, columns), *_ = grid.items()
    means = np.full((len(rows), len(columns)), np.nan)
    for cell in reversed(rank_cells(cells)):  # the best last, and on top
        if not cell.diverged:
            place = rows.index(cell.values[down]), columns.index(cell.values[across])
            means[place] = np.mean(cell.scores(part, metric))
    return means


def _heat_map(
    axes: Axes,
    grid: Mapping[str, Sequence[Value]],
    metric: str,
    part: str,
    means: Mapping[str, NDArray[np.float64]],
) -> None:
    (down, rows), (across, columns), *others = grid.items()
    # Bright is good, for losses as well; both heat maps have one scale.
    image = axes.imshow(
        means[part],
        aspect="auto",
        cmap="viridis_r" if "loss" in metric else "viridis",
        vmin=min(np.nanmin(values) for values in means.values()),
        vmax=max(np.nanmax(values) for values in means.values()),
    )
    for (row, column), value in np.ndenumerate(means[part]):
        red, green, blue, _ = image.to_rgba(np.array(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 and np.isfinite(value)
        axes.text(
            column,
            row,
            f"{value:.4f}" if np.isfinite(value) else "diverged",
            ha="center",
            va="center",
            color="white" if dark else "black",
        )
    axes.set_xticks(range(len(columns)), [format_value(value) for value in columns])
    axes.set_yticks(range(len(rows)), [format_value(value) for value in rows])
    best = f", best of {', '.join(name for name, _ in others)}" if others else ""
    axes.set(xlabel=across, ylabel=down, title=f"{METRICS[metric]}, {PARTS[part]}{best}")
