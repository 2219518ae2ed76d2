"""The smallest changes of what a person can change that turn a decision; the model proves each."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from service.contract.fields import Feature
from service.contract.wording import ActionableField
from service.explain.shapley import Predict, answers_to

LEVELS = {1: 256, 2: 24, 3: 12}
"""Values of each field that are tried when so many fields change at once."""
FINEST = 256
"""Values tried between the old and the new one, when a change found is made smaller."""
MOST = 3


def counterfactuals(
    predict: Predict,
    row: NDArray[np.float32],
    threshold: float,
    features: Sequence[Feature],
    changes: Sequence[ActionableField],
) -> list[NDArray[np.float32]]:
    """Return up to `MOST` rows with a probability below the threshold, the smallest change first.

    Fewest fields come first, then the least way: of each field the share of the way to its limit,
    summed. Fields that are not recorded stay so. Each set of fields is searched on a grid, in one
    run, and what is found is made as small as the step allows, a field at a time. Raises
    InvalidOutput.
    """
    places = {feature.name: place for place, feature in enumerate(features)}
    ways = [way for change in changes if (way := _Way(change, row, places, features)).span]
    for size in range(1, min(len(ways), max(LEVELS)) + 1):
        found: list[tuple[float, int, NDArray[np.float32]]] = []
        for some in combinations(ways, size):
            candidate = _smallest(predict, row, threshold, some, _grid(some, LEVELS[size]))
            if candidate is not None:
                smaller = _refined(predict, row, threshold, some, candidate)
                # The row alone, as a prediction asks for it.
                if answers_to(predict, smaller[None])[0] < threshold:
                    found.append((float(_length(smaller[None], some)[0]), len(found), smaller))
        if found:
            return [smaller for _, _, smaller in sorted(found, key=lambda f: f[:2])[:MOST]]
    return []


class _Way:
    """From a row's value of one field to the last one that is plausible."""

    def __init__(
        self,
        change: ActionableField,
        row: NDArray[np.float32],
        places: dict[str, int],
        features: Sequence[Feature],
    ) -> None:
        self.place, self.step = places[change.field], change.step
        self.codes = np.array(sorted(features[self.place].codes), np.float32)
        self.start = float(row[self.place])
        limit = change.limit if not isinstance(change.limit, str) else row[places[change.limit]]
        sign = -1 if change.direction == "down" else 1
        way = float(limit) - self.start
        # NaN, and what lies beyond the limit already, cannot be changed.
        self.span = way if way * sign > 0 else 0.0

    def values(self, most: int, end: float | None = None) -> NDArray[np.float32]:
        """Return up to `most` values after the start, to `end` or the limit, inclusive."""
        end = self.start + self.span if end is None else end
        low, high = sorted((self.start, end))
        if len(self.codes):
            codes = self.codes
            return np.asarray(codes[(codes >= low) & (codes <= high) & (codes != self.start)])
        steps = max(1, min(most, round(abs(end - self.start) / self.step)))
        values = np.linspace(self.start, end, steps + 1)[1:]
        # Towards the end, so that what is told is never less of a change than what was tried.
        rounded = np.sign(self.span) * np.ceil(np.sign(self.span) * values / self.step) * self.step
        return np.unique(np.clip(rounded, low, high)).astype(np.float32)


def _grid(ways: Sequence[_Way], levels: int) -> NDArray[np.float32]:
    return np.array(list(product(*(way.values(levels) for way in ways))), np.float32)


def _smallest(
    predict: Predict,
    row: NDArray[np.float32],
    threshold: float,
    ways: Sequence[_Way],
    values: NDArray[np.float32],
) -> NDArray[np.float32] | None:
    """Return the row of the smallest change that crosses the threshold, if there is one."""
    if not len(values):
        return None
    rows = np.tile(row, (len(values), 1))
    rows[:, [way.place for way in ways]] = values
    rows = rows[answers_to(predict, rows) < threshold]
    return rows[_length(rows, ways).argmin()] if len(rows) else None


def _refined(
    predict: Predict,
    row: NDArray[np.float32],
    threshold: float,
    ways: Sequence[_Way],
    found: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Reduce each field's change to the least that the other changes leave necessary."""
    for way in ways:
        values = way.values(FINEST, float(found[way.place]))[:, None]
        smaller = _smallest(predict, found, threshold, [way], values)
        found = found if smaller is None else smaller
    return found


def _length(rows: NDArray[np.float32], ways: Sequence[_Way]) -> NDArray[np.float64]:
    shares = [np.abs((rows[:, way.place].astype(float) - way.start) / way.span) for way in ways]
    return np.asarray(np.sum(shares, axis=0))
