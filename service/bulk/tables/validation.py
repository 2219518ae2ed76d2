"""The contract of a task, applied to columns: what one row's payload says, for many at once.

`tests/service/bulk/test_validation.py` proves that the two never disagree.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from service.bulk.tables.chunks import AnswerColumns, Chunk, Numbers, row_problem
from service.contract.fields import Feature
from service.errors import FieldProblem, RowProblem

NEAR = 0.8
"""From which ratio (difflib's) a column's name is an absent field's, misspelt."""


@dataclass(frozen=True)
class Checked:
    """Rows as float32[N, F], NaN where not recorded; which fields of which rows are bad."""

    array: NDArray[np.float32]
    bad: NDArray[np.bool_]
    """bool[N]: rows that cannot be scored. Their numbers in `array` mean nothing."""
    count: int
    """Problems in all."""
    _rows: Chunk
    _wrong: list[tuple[Feature, NDArray[np.bool_]]]

    def problems(self, first: int) -> Iterator[RowProblem]:
        """Yield every problem, row after row; `first` is the number of the first row here."""
        for place in np.flatnonzero(self.bad).tolist():
            for problem in self._rows.row_errors.get(place, ()):
                yield row_problem(first + place, *problem)
            for feature, wrong in self._wrong:
                if wrong[place]:
                    column = self._rows.columns[feature.name]
                    got = column.raw_value(place)
                    yield row_problem(first + place, feature.name, feature.expected, got)


def check(features: Sequence[Feature], rows: Chunk) -> Checked:
    """Check every field of every row against the contract."""
    array = np.empty((rows.count, len(features)), np.float32)
    bad = np.zeros(rows.count, np.bool_)
    wrong: list[tuple[Feature, NDArray[np.bool_]]] = []
    for place, feature in enumerate(features):
        column = rows.columns.get(feature.name)
        if column is None:
            array[:, place] = np.nan
            continue
        numbers = column.numbers()
        fits = fitting(feature, numbers)
        with np.errstate(over="ignore"):  # what float32 cannot hold is far out of bounds
            array[:, place] = recorded(feature, numbers)
        if not fits.all():
            unfit = ~fits
            unfit[list(rows.unread)] = False
            wrong.append((feature, unfit))
            bad |= unfit
    count = sum(int(unfit.sum()) for _, unfit in wrong)
    for place, problems in rows.row_errors.items():
        bad[place] = True
        count += len(problems)
    return Checked(array, bad, count, rows, wrong)


def fitting(feature: Feature, numbers: Numbers) -> NDArray[np.bool_]:
    """Return a mask of the rows whose value the contract allows; NaN is in no range, no code."""
    values = numbers.values
    if feature.low is None or feature.high is None:
        fits = np.zeros(len(values), np.bool_)
        for code in feature.codes:
            fits |= values == code
    else:
        fits = (values >= feature.low) & (values <= feature.high)
        if feature.zero_is_missing:
            fits |= values == 0
    if numbers.missing is not None and not feature.required:
        fits |= numbers.missing
    return fits


def recorded(feature: Feature, numbers: Numbers) -> NDArray[np.float64]:
    """Return the values, NaN where the records write 0 for nothing."""
    if not feature.zero_is_missing:
        return numbers.values
    return np.where(numbers.values == 0, np.nan, numbers.values)


def column_problems(
    features: Sequence[Feature], names: Sequence[str], answer: AnswerColumns
) -> list[FieldProblem]:
    """Return the problems of a table's column names, whatever the columns hold."""
    known = {feature.name for feature in features}
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    problems = [FieldProblem(n, "one column of this name", f"{counts[n]}") for n in twice]
    problems += [
        FieldProblem(feature.name, "a column of this name (required)", "nothing")
        for feature in features
        if feature.required and feature.name not in counts
    ]
    absent = [feature.name for feature in features if feature.name not in counts]
    for name in counts:
        if name not in known and (expected := extra_problem(name, absent, answer)):
            problems.append(FieldProblem(name, expected, "a column"))
    return problems


def extra_problem(name: str, absent: Sequence[str], answer: AnswerColumns) -> str | None:
    """Return what was expected of a column that is no field; None if it can be carried through."""
    if name in answer.all:
        return "another name, which the answer does not use itself"
    # A misspelt field would be carried through and scored as not recorded: a wrong answer.
    likely = {other.lower(): other for other in absent}
    near = get_close_matches(name.strip().lower(), list(likely), n=1, cutoff=NEAR)
    return f"no name so like a field's (did you mean {likely[near[0]]!r}?)" if near else None
