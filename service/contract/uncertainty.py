"""Uncertainty of an answer: its section of a card, and how it is applied.

Conformal sets hold the truth as often as they say (Vovk, Gammerman and Shafer 2005); a score, or
the range of every field, says whether an input looks like what the model learned from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.contract.fields import Feature

OOD_SCORE = "in_distribution_score"
"""The output of a graph of pictures that says whether one looks like those it learned from."""


class ConformalSets(BaseModel):
    """A set holds every answer whose probability is at least `threshold`.

    Of pictures it holds classes, the likeliest always; of rows yes, no, both or neither, and with
    exactly one of them a row is decided. Sets of this kind are those of Sadinle,
    Lei and Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error levels".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    coverage: float
    """The share of sets that are to hold the truth."""
    threshold: float
    calibrated_on: str
    """The rows that the threshold was chosen on, in words."""
    calibrated_rows: int
    measured: float
    """The share of sets that did hold the truth, of rows used for nothing else before."""
    measured_on: str
    measured_rows: int
    non_singleton_share: float
    """The share of those with more or less than one answer in them."""

    def decided(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return a mask of the rows whose set holds exactly one of yes and no."""
        return np.asarray((probability >= self.threshold) != (1 - probability >= self.threshold))

    def classes(self, probabilities: Sequence[float]) -> list[int]:
        """Return the classes in the set of a picture, the likeliest first; never none."""
        order = sorted(range(len(probabilities)), key=lambda k: -probabilities[k])
        return order[:1] + [k for k in order[1:] if probabilities[k] >= self.threshold]


class OodThreshold(BaseModel):
    """The in-distribution score below which a picture looks unlike those the model learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float
    chosen_on: str
    """The pictures that the threshold was chosen on, in words."""
    learned_from: str
    """The outliers that the score was trained on, beside the training pictures, in words."""
    flagged: dict[str, float]
    """The share below the threshold, by what the pictures are."""


class TrainingRange(BaseModel):
    """The values of one field in the training rows: a range, or the codes that occur."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    low: float | None = None
    high: float | None = None
    codes: tuple[int, ...] = ()


class Confidence(BaseModel):
    """The section of a card; pictures have `ood`, rows have `training_ranges`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conformal: ConformalSets
    ood: OodThreshold | None = None
    training_ranges: tuple[TrainingRange, ...] = ()


@dataclass(frozen=True, eq=False)
class RangeCheck:
    """Tells which fields of a row lie outside what training saw. Not recorded is never outside."""

    features: tuple[Feature, ...]
    training_ranges: tuple[TrainingRange, ...]

    def out_of_range(self, values: Sequence[float | None]) -> list[int]:
        """Return the indices of fields out of range in a row; None is not recorded."""
        places = [
            place
            for place, low, high in self._numbers
            if (value := values[place]) is not None and not low <= value <= high
        ]
        return places + [place for place, unseen in self._codes if values[place] in unseen]

    def outside(self, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return a mask of rows float32[N, F] with a field out of range; NaN is not recorded."""
        low, high = self._bounds
        beyond = (rows < low) | (rows > high)
        found = np.zeros(len(rows), np.bool_)
        # Few are: to look for those costs a tenth of `any` over every row.
        found[np.flatnonzero(beyond) // rows.shape[1]] = True
        for place, unseen in self._codes:
            for code in unseen:
                found |= rows[:, place] == code
        return found

    def warning(self, place: int, value: float) -> str:
        """Return a warning in words: the field, its value, and the training range."""
        feature, seen = self.features[place], self._by_name[self.features[place].name]
        if feature.kind == "code":
            code = int(value)
            known = ", ".join(map(str, seen.codes))
            return (
                f"{feature.name}: {code} ({feature.codes.get(code, 'no code')}) does not occur in "
                f"the training rows, which have {known}"
            )
        return (
            f"{feature.name}: {value:.10g} {feature.unit} is outside the range of the training "
            f"rows, {seen.low:.10g} to {seen.high:.10g}"
        )

    @cached_property
    def _by_name(self) -> dict[str, TrainingRange]:
        return {seen.name: seen for seen in self.training_ranges}

    @cached_property
    def _places(self) -> list[tuple[int, Feature, TrainingRange]]:
        return [
            (place, feature, self._by_name[feature.name])
            for place, feature in enumerate(self.features)
            if feature.name in self._by_name
        ]

    @cached_property
    def _numbers(self) -> list[tuple[int, float, float]]:
        # Where a request can hold nothing that was not seen, there is nothing to look at.
        return [
            (place, *_widened(seen.low, seen.high))
            for place, feature, seen in self._places
            if seen.low is not None
            and seen.high is not None
            and (seen.low, seen.high) != (feature.low, feature.high)
        ]

    @cached_property
    def _codes(self) -> list[tuple[int, frozenset[int]]]:
        # A request holds codes of the contract only: those of them that were not seen.
        return [
            (place, unseen)
            for place, feature, seen in self._places
            if (unseen := frozenset(feature.codes) - frozenset(seen.codes))
        ]

    @cached_property
    def _bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        low = np.full(len(self.features), -np.inf, np.float32)
        high = np.full(len(self.features), np.inf, np.float32)
        for place, _, seen in self._places:
            if seen.low is not None and seen.high is not None:
                low[place], high[place] = seen.low, seen.high
        return low, high


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return the range of numbers that float32, the network's type, cannot tell from low..high."""
    below, above = np.float32(low), np.float32(high)
    return (
        _halfway(below, np.nextafter(below, np.float32(-np.inf))),
        _halfway(above, np.nextafter(above, np.float32(np.inf))),
    )


def _halfway(inside: np.float32, outside: np.float32) -> float:
    middle = (float(inside) + float(outside)) / 2
    # A tie is rounded to the even one of the two.
    return middle if np.float32(middle) == inside else math.nextafter(middle, float(inside))
