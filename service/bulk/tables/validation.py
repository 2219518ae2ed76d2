"""The contract of a task, applied to columns: what one row's payload says, for many at once.

`tests/service/bulk/test_validation.py` proves that the two never disagree, but for what only tables
have: words and other numbers for codes, and numbers that stand for nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from service.bulk.tables.chunks import Chunk, Numbers, row_problem
from service.bulk.tables.header import is_nothing
from service.contract.fields import Code, Feature
from service.contract.rows import RowTask
from service.contract.tables import plain_word
from service.errors import RowMistake, RowProblem

MOST_EXAMPLES = 5


@dataclass(frozen=True)
class FieldRules:
    """The rules by which cells of one field become numbers of the contract.

    `words` are codes by their plain words, `codes` the numbers of another coding with ours (None:
    not recorded), `missing` the numbers by which nothing was recorded. `telltales` are codes that
    only other codings have, with the names of these.
    """

    feature: Feature
    words: Mapping[str, float] = field(default_factory=dict)
    codes: Mapping[int, int | None] | None = None
    missing: tuple[float, ...] = ()
    telltales: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    expected: str = ""

    @cached_property
    def holds(self) -> Mapping[float, bool]:
        """The `missing` numbers, each with True if the contract has a meaning for it."""
        return {number: self.feature.holds(number) for number in self.missing}


def rules_of(task: RowTask, coding: str | None = None) -> tuple[FieldRules, ...]:
    """Return the rules of a task's fields, in order, for a table in a coding (None: the task's)."""
    return tuple(_rules(task, feature, coding) for feature in task.features)


def _rules(task: RowTask, feature: Feature, coding: str | None) -> FieldRules:
    tables = task.tables
    other = None if coding is None else tables.coding_named(coding)
    codes = None if other is None else other.codes.get(feature.name)
    telltales: dict[int, tuple[str, ...]] = {}
    if coding is None:
        for each in tables.codings:
            for code in each.codes.get(feature.name, {}):
                if code not in feature.codes:
                    telltales[code] = (*telltales.get(code, ()), each.name)
    elif codes is not None:
        telltales = {code: (tables.coding,) for code in feature.codes if code not in codes}
    return FieldRules(
        feature,
        words=_words(feature, tables.words.get(feature.name, {})),
        codes=codes,
        missing=() if feature.required else tables.missing,
        telltales=telltales,
        expected=feature.expected if codes is None else _in_coding(feature, codes, coding or ""),
    )


def _words(feature: Feature, declared: Mapping[str, int]) -> dict[str, float]:
    """Return the words for a field's codes; a meaning that several codes have is none."""
    meanings = [plain_word(text) for text in feature.codes.values()]
    words = {
        word: code
        for code, word in zip(feature.codes, meanings, strict=True)
        if meanings.count(word) == 1
    }
    words |= {plain_word(word): code for word, code in declared.items()}
    # "None" of major vessels is 0, and what Python writes for nothing: neither can be taken.
    return {word: np.nan if is_nothing(word) else code for word, code in words.items()}


def _in_coding(feature: Feature, codes: Mapping[int, int | None], coding: str) -> str:
    meanings = {
        theirs: "not recorded" if ours is None else feature.codes[ours]
        for theirs, ours in codes.items()
    }
    return f"{Code(meanings).expected} in the coding {coding}"


@dataclass(frozen=True)
class Foreign:
    """A code that the contract does not have and other codings do: where it first came."""

    field: str
    code: int
    row: int
    codings: tuple[str, ...]


@dataclass(frozen=True)
class Checked:
    """Rows as float32[N, F], NaN where not recorded; which fields of which rows are bad."""

    array: NDArray[np.float32]
    bad: NDArray[np.bool_]
    """bool[N]: rows that cannot be scored. Their numbers in `array` mean nothing."""
    count: int
    """Problems in all."""
    stand_ins: tuple[str, ...]
    """The fields in which a number stood for nothing recorded."""
    _rows: Chunk
    _wrong: list[tuple[FieldRules, NDArray[np.bool_], NDArray[np.float64]]]

    def problems(self, first: int) -> Iterator[RowProblem]:
        """Yield every problem, row after row; `first` is the number of the first row here."""
        for place in np.flatnonzero(self.bad).tolist():
            for problem in self._rows.row_errors.get(place, ()):
                yield row_problem(first + place, *problem)
            for rules, wrong, _ in self._wrong:
                if wrong[place]:
                    yield self._problem(rules, place, first)

    def mistakes(self, first: int) -> Iterator[RowMistake]:
        """Yield the problems put together by field and by what was expected of it."""
        found: dict[tuple[str, str], list[RowProblem]] = {}
        for place, problems in self._rows.row_errors.items():
            for problem in problems:
                told = row_problem(first + place, *problem)
                found.setdefault((told.field, told.expected), []).append(told)
        for (name, expected), alike in found.items():
            examples = tuple((problem.row, problem.got) for problem in alike[:MOST_EXAMPLES])
            yield RowMistake(name, expected, len(alike), examples)
        for rules, wrong, _ in self._wrong:
            places = np.flatnonzero(wrong)
            shown = [
                self._problem(rules, place, first) for place in places[:MOST_EXAMPLES].tolist()
            ]
            examples = tuple((problem.row, problem.got) for problem in shown)
            yield RowMistake(rules.feature.name, rules.expected, len(places), examples)

    def _problem(self, rules: FieldRules, place: int, first: int) -> RowProblem:
        got = self._rows.columns[rules.feature.name].raw_value(place)
        return row_problem(first + place, rules.feature.name, rules.expected, got)

    def foreign(self, first: int) -> Iterator[Foreign]:
        """Yield the codes of other codings, each where it came first."""
        for rules, wrong, given in self._wrong:
            for code, codings in rules.telltales.items():
                places = np.flatnonzero(wrong & (given == code))
                if len(places):
                    yield Foreign(rules.feature.name, code, first + int(places[0]), codings)


def check(rules: Sequence[FieldRules], rows: Chunk) -> Checked:
    """Check every field of every row against the contract."""
    array = np.empty((rows.count, len(rules)), np.float32)
    bad = np.zeros(rows.count, np.bool_)
    wrong: list[tuple[FieldRules, NDArray[np.bool_], NDArray[np.float64]]] = []
    stand_ins: list[str] = []
    for place, each in enumerate(rules):
        column = rows.columns.get(each.feature.name)
        if column is None:
            array[:, place] = np.nan
            continue
        numbers = column.numbers(each.words)
        given = numbers.values
        if each.codes is not None:
            numbers = _recoded(each.codes, numbers)
        fits = fitting(each.feature, numbers)
        all_fit = bool(fits.all())
        for number in each.missing:
            # Few fields have such a number among their values: where all fit, none of it came.
            if (each.holds[number] or not all_fit) and (stands := given == number).any():
                numbers, fits = numbers.without(stands), fits | stands
                stand_ins.append(each.feature.name)
                all_fit = bool(fits.all())
        with np.errstate(over="ignore"):  # what float32 cannot hold is far out of bounds
            array[:, place] = recorded(each.feature, numbers)
        if not all_fit:
            unfit = ~fits
            unfit[list(rows.unread)] = False
            if unfit.any():
                wrong.append((each, unfit, given))
                bad |= unfit
    count = sum(int(unfit.sum()) for _, unfit, _ in wrong)
    for place, problems in rows.row_errors.items():
        bad[place] = True
        count += len(problems)
    return Checked(array, bad, count, tuple(stand_ins), rows, wrong)


def _recoded(codes: Mapping[int, int | None], numbers: Numbers) -> Numbers:
    """Return the numbers in our coding; words are in it already, other numbers in none."""
    values = np.full(len(numbers.values), np.nan)
    absent = np.zeros(len(values), np.bool_)
    for theirs, ours in codes.items():
        here = numbers.values == theirs
        if ours is None:
            absent |= here
        else:
            values[here] = ours
    if numbers.worded is not None:
        values = np.where(numbers.worded, numbers.values, values)
        absent &= ~numbers.worded
    recoded = Numbers(values, numbers.missing, numbers.worded)
    return recoded.without(absent) if absent.any() else recoded


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


def undecided(task: RowTask, rows: Chunk, checked: Checked) -> tuple[str, ...]:
    """Return the other codings in which the rows could just as well be written.

    A number that a coding does not have rules it out; so does a table whose numbers mean the same
    in both.
    """
    names = [feature.name for feature in task.features]
    columns = dict(zip(names, checked.array.T, strict=True))
    found = []
    for coding in task.tables.codings:
        numbered = [
            n for n in coding.codes if n in rows.columns and not rows.columns[n].is_worded()
        ]
        ruled_out = any(
            (columns[feature.name] == code).any()
            for feature in task.features
            if feature.name in numbered
            for code in feature.codes
            if code not in coding.codes[feature.name]
        )
        if not ruled_out and any(
            (columns[name] == code).any()
            for name in numbered
            for code, ours in coding.codes[name].items()
            if code != ours
        ):
            found.append(coding.name)
    return tuple(found)
