"""Synthetic data in the form of the real data sets, to run the pipeline without them, as in CI.

Rows are drawn from the contract of the task, with a signal planted in a few fields, so that a
working fit gets well above chance. Nothing in them comes from a data set's rows.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from service.contract.fields import Feature
from training.data.datasets import ImageData, Source, TabularData, task_features
from training.data.downloads import Parts

MISSING = 0.05
"""The share of values that are missing, of each optional field."""

# Mean and standard deviation. A field that is not listed is drawn from the range of its contract.
HEART_RANGES = {
    "age": (54.0, 9.0),
    "trestbps": (132.0, 18.0),
    "chol": (247.0, 52.0),
    "thalach": (150.0, 23.0),
    "oldpeak": (1.0, 1.2),
}
HEART_SIGNAL = {"cp": 1.2, "thalach": -0.8, "exang": 0.8, "oldpeak": 0.8, "ca": 1.2, "thal": 1.0}
CREDIT_RANGES = {
    "limit_bal": (170_000.0, 130_000.0),
    "age": (35.0, 9.0),
    **{f"pay_{month}": (0.0, 1.2) for month in (0, 2, 3, 4, 5, 6)},
    **{f"bill_amt{month}": (45_000.0, 70_000.0) for month in range(1, 7)},
    **{f"pay_amt{month}": (5_000.0, 8_000.0) for month in range(1, 7)},
}
CREDIT_SIGNAL = {"limit_bal": -0.6, "pay_0": 1.6, "pay_2": 0.8, "pay_amt1": -0.5}

# One stroke for each digit (two for 4), x to the right and y down, in a box of 1 x 1.
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(0.5, 0), (0.1, 0.25), (0.1, 0.75), (0.5, 1), (0.9, 0.75), (0.9, 0.25), (0.5, 0)]],
    1: [[(0.3, 0.2), (0.55, 0), (0.55, 1)]],
    2: [[(0.1, 0.2), (0.5, 0), (0.9, 0.25), (0.1, 1), (0.9, 1)]],
    3: [[(0.1, 0), (0.85, 0.1), (0.4, 0.45), (0.9, 0.7), (0.6, 1), (0.1, 0.9)]],
    4: [[(0.6, 0), (0.1, 0.65), (0.9, 0.65)], [(0.7, 0.3), (0.7, 1)]],
    5: [[(0.9, 0), (0.2, 0), (0.2, 0.45), (0.8, 0.5), (0.8, 0.9), (0.1, 1)]],
    6: [[(0.7, 0), (0.2, 0.5), (0.2, 0.9), (0.6, 1), (0.85, 0.75), (0.6, 0.5), (0.2, 0.65)]],
    7: [[(0.1, 0), (0.9, 0), (0.4, 1)]],
    8: [[(0.5, 0.5), (0.15, 0.2), (0.5, 0), (0.85, 0.2), (0.15, 0.8), (0.5, 1), (0.9, 0.8),
         (0.5, 0.5)]],
    9: [[(0.8, 0.35), (0.4, 0.5), (0.15, 0.25), (0.5, 0), (0.8, 0.1), (0.8, 0.5), (0.7, 1)]],
}  # fmt: skip


def synthetic_heart(rows: int = 600, seed: int = 0) -> TabularData:
    """Make up patients; `label` is 1 for somewhat less than half."""
    return _rows("heart", rows, seed, HEART_RANGES, HEART_SIGNAL, base=-0.2)


def synthetic_credit(rows: int = 2_000, seed: int = 0) -> TabularData:
    """Make up clients; `label` is 1 for about a quarter."""
    return _rows("credit", rows, seed, CREDIT_RANGES, CREDIT_SIGNAL, base=-1.8)


def synthetic_digits(train: int = 2_000, test: int = 500, seed: int = 0) -> ImageData:
    """Draw digits of straight strokes, slanted, shifted, thick or thin, noisy; classes balance."""
    return synthetic_images("digits", _draw, train, test, seed)


def synthetic_images(
    task: str,
    draw: Callable[[int, np.random.Generator], NDArray[np.uint8]],
    train: int = 2_000,
    test: int = 500,
    seed: int = 0,
) -> ImageData:
    """Draw pictures of ten classes, each equally often, by `draw`, which returns uint8[28, 28]."""
    chance = np.random.default_rng(seed)
    parts: Parts = {}
    for name, count in {"train": train, "test": test}.items():
        labels = chance.permutation(np.arange(count) % 10)
        parts[f"{name}_images"] = np.stack([draw(int(label), chance) for label in labels])
        parts[f"{name}_labels"] = labels
    return ImageData.of(_source(task), parts, published=False)


def _source(task: str) -> Source:
    return Source(
        name=f"synthetic-{task}",
        title=f"Made-up data for {task}",
        home="training/data/synthetic.py",
        licence="Apache-2.0",
        citation="None: it says nothing about the world.",
    )


def _rows(
    task: str,
    rows: int,
    seed: int,
    ranges: Mapping[str, tuple[float, float]],
    signal: Mapping[str, float],
    base: float,
) -> TabularData:
    chance = np.random.default_rng(seed)
    features = task_features(task)
    parts: Parts = {f.name: _values(f, rows, ranges.get(f.name), chance) for f in features}
    log_odds = base + sum(weight * _standard(parts[name]) for name, weight in signal.items())
    outcome = (chance.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(np.float64)
    for feature in features:
        if not feature.required:
            parts[feature.name][chance.random(rows) < MISSING] = np.nan
    return TabularData.of(_source(task), task, parts | {"outcome": outcome}, published=False)


def _values(
    feature: Feature,
    rows: int,
    usual: tuple[float, float] | None,
    chance: np.random.Generator,
) -> NDArray[np.float64]:
    codes = np.array(sorted(feature.codes), dtype=np.float64)
    low, high = (codes[0], codes[-1]) if len(codes) else (feature.low or 0.0, feature.high or 0.0)
    drawn = chance.normal(*usual, rows) if usual else chance.uniform(low, high, rows)
    if not len(codes):
        return np.clip(drawn.round(1), low, high)
    if not usual:
        return chance.choice(codes, rows)
    nearest: NDArray[np.float64] = codes[np.abs(drawn[:, None] - codes).argmin(axis=1)]
    return nearest


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    standard: NDArray[np.float64] = (values - values.mean()) / max(float(values.std()), 1e-9)
    return standard


def _draw(digit: int, chance: np.random.Generator) -> NDArray[np.uint8]:
    picture = np.zeros((28, 28), np.uint8)
    width, height = chance.uniform(9, 16), chance.uniform(17, 20)
    slant, angle = chance.uniform(-0.25, 0.25), chance.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = 13.5 + chance.uniform(-1.5, 1.5, 2)
    thickness = int(chance.integers(1, 4))
    for stroke in STROKES[digit]:
        points = (np.array(stroke) - 0.5 + chance.normal(0, 0.03, (len(stroke), 2))) * (
            width,
            height,
        )
        points[:, 0] -= slant * points[:, 1]
        at = points @ turn.T + middle
        # shift=4: coordinates are sixteenths of a pixel.
        line = (at * 16).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(picture, [line], False, 255, thickness, cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(picture, (3, 3), 0.7).astype(np.float64)
    noisy = np.where(soft > 0, soft + chance.normal(0, 12, soft.shape), 0)
    return np.clip(noisy, 0, 255).astype(np.uint8)
