"""The chart of the single-row comparison: throughput and latency as bars."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.result import Result

OURS, OTHERS, INK = "#1f6fb4", "#a9b4bf", "#1c2128"


def draw(result: Result, file: Path) -> None:
    """Write a PNG of requests per second and median latency of every server, quickest first.

    `result` is that of single_row.py. The background is white, so that the chart can be read on a
    dark page, too.
    """
    medians: dict[str, dict[str, float]] = result.raw["medians"]
    order = sorted(medians, key=lambda name: medians[name]["rate"])
    figure = Figure(figsize=(9, 0.42 * len(order) + 1.1), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, order, [medians[name]["rate"] for name in order], "{:,.0f}")
    left.set_title("requests per second, 16 connections (more is better)", fontsize=9)
    _bars(right, order, [medians[name]["alone_p50_ms"] * 1000 for name in order], "{:,.0f}")
    right.set_title("median microseconds, 1 connection (less is better)", fontsize=9)
    figure.savefig(file, dpi=130, facecolor="white")


def _bars(axes: Axes, names: list[str], values: list[float], form: str) -> None:
    colours = [OURS if name == "Foretell" else OTHERS for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, [form.format(value) for value in values], padding=3, color=INK, fontsize=9)
    axes.set_xlim(0, 1.18 * max(values))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(colors=INK, length=0)
    axes.set_xticks([])
