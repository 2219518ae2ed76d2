"""Plots for reports, drawn from a card's curves and history: PNG bytes, on white.

They use matplotlib's Figure alone, not its global state and windows.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from service.models.artifacts.card import Bin, Curves

DPI = 130
BLUE, ORANGE, GREY = "#1f6fb4", "#d4620a", "#777777"
Point = tuple[float, float]


def history_picture(history: Mapping[str, Sequence[float]]) -> bytes:
    """Plot loss and accuracy of each epoch, of the training and, if kept apart, validation."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    for place, name in enumerate(("loss", "accuracy"), start=1):
        axes = _plain(figure.add_subplot(1, 2, place), "epoch", name)
        for key, label, colour in ((name, "training", BLUE), (f"val_{name}", "validation", ORANGE)):
            if key in history:
                epochs = np.arange(1, len(history[key]) + 1)
                marker = "o" if len(epochs) < 3 else None
                axes.plot(epochs, history[key], color=colour, label=label, marker=marker)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    return _png(figure)


def roc_picture(points: Sequence[Point], auc: float) -> bytes:
    """Plot the true against the false positive rate."""
    figure, axes = _square("false positive rate (1 - specificity)", "true positive rate")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    axes.plot(*zip(*points, strict=True), color=BLUE, label=f"AUC {auc:.4f}")
    axes.legend(frameon=False, loc="lower right")
    return _png(figure)


def precision_recall_picture(points: Sequence[Point], base_rate: float) -> bytes:
    """Plot precision against recall."""
    figure, axes = _square("recall (sensitivity)", "precision")
    axes.axhline(base_rate, color=GREY, linestyle=":", label=f"chance: {base_rate:.3f}")
    axes.plot(*zip(*points, strict=True), color=BLUE, label="the model")
    axes.legend(frameon=False, loc="lower left")
    return _png(figure)


def calibration_picture(bins: Sequence[Bin], x_label: str, y_label: str) -> bytes:
    """Plot the observed share against the probability, with 95 % intervals, and counts."""
    figure = Figure(figsize=(3.9, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    probability = np.array([each.probability for each in bins])
    share = np.array([each.share for each in bins])
    rows = np.array([each.rows for each in bins])
    _plain(upper, "", y_label).set(xlim=(0, 1), ylim=(-0.03, 1.03))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":")
    low, high = wilson(share, rows)
    errors = np.maximum([share - low, high - share], 0)  # not -1e-17
    upper.errorbar(probability, share, errors, color=BLUE, fmt="o", markersize=4, capsize=2)
    _plain(lower, x_label, "rows").set_yscale("log")
    lower.bar(probability, rows, width=0.03, color=BLUE)
    lower.set_ylim(bottom=0.7)
    return _png(figure)


def wilson(share: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute the 95 % interval of a share of a number of rows (Wilson 1927)."""
    z = 1.96
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + (z / (2 * rows)) ** 2)
    return middle - half, middle + half


def scores_picture(scores: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """Plot a histogram of the probabilities answered for each class."""
    figure, axes = _square("probability", "share of the class")
    axes.set_ylim(auto=True)
    places = (np.arange(20) + 0.5) / 20
    for counts, label, colour in zip(scores, labels, (BLUE, ORANGE), strict=True):
        share = np.array(counts) / max(sum(counts), 1)
        axes.bar(
            places, share, 0.05, color=colour, alpha=0.55, label=f"{label} ({sum(counts):,} rows)"
        )
    axes.legend(frameon=False)
    return _png(figure)


def confusion_picture(curves: Curves, labels: Sequence[str]) -> bytes:
    """Plot rows by class and answer; colour is the share of the class, stretched for rare ones."""
    counts = np.array(curves.confusion)
    many = len(labels) > 2
    figure = Figure(figsize=(5.2, 4.8) if many else (3.9, 3.7), layout="constrained")
    axes = figure.add_subplot()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    norm = PowerNorm(0.3 if many else 1, 0, 1)
    axes.imshow(share, cmap="Blues", norm=norm)
    long = max(map(len, labels)) > 3 and many
    axes.set_xticks(range(len(labels)), labels, rotation=45 if long else 0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="answer", ylabel="truth")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = norm(share[row, column]) > 0.6
            axes.text(
                column,
                row,
                f"{count:,}",
                ha="center",
                va="center",
                color="w" if dark else "k",
                fontsize=7 if many else 10,
            )
    return _png(figure)


def classes_picture(curves: Curves, labels: Sequence[str]) -> bytes:
    """Plot the share of each class that is answered rightly, with 95 % intervals."""
    counts = np.array(curves.confusion)
    rows = counts.sum(axis=1)
    share = counts.diagonal() / np.maximum(rows, 1)
    low, high = wilson(share, np.maximum(rows, 1))
    figure = Figure(figsize=(3.9, 3.7), layout="constrained")
    axes = _plain(figure.add_subplot(), "accuracy", "")
    places = np.arange(len(labels))
    errors = np.maximum([share - low, high - share], 0)
    axes.errorbar(share, places, xerr=errors, fmt="o", color=BLUE, capsize=2)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    return _png(figure)


def mistakes_picture(pictures: NDArray[np.uint8], titles: Sequence[str]) -> bytes:
    """Plot pictures uint8[N, H, W] in rows of eight, dark on white, with titles under them."""
    down = -(-len(pictures) // 8)
    lines = max(title.count("\n") for title in titles) + 1
    figure = Figure(figsize=(8, (1.15 + 0.15 * lines) * down), layout="constrained")
    for axes, picture, title in zip(
        figure.subplots(down, 8, squeeze=False).flat[: len(pictures)], pictures, titles, strict=True
    ):
        axes.imshow(picture, cmap="gray_r", vmin=0, vmax=255)
        axes.text(0.5, -0.06, title, fontsize=8, ha="center", va="top", transform=axes.transAxes)
    for axes in figure.axes:
        axes.axis("off")
    return _png(figure)


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.9, 3.7), layout="constrained")
    axes = _plain(figure.add_subplot(), x, y)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    return figure, axes


def _plain(axes: Axes, x: str, y: str) -> Axes:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
