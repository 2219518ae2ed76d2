"""Chunks: some rows of a table, before and after they are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.contract.rows import AnswerColumn, Columns
from service.errors import RowProblem

CHUNK_ROWS = 16_384
"""Rows scored at once: fewer cost calls, more take memory; in between the runtime is as quick."""

PassthroughColumns = Any
"""Columns that are no fields: a pyarrow.RecordBatch, or a list of dicts, of the same rows."""


@dataclass(frozen=True)
class Numbers:
    """A column as it can be compared: float64[N], NaN where no number came.

    `missing` marks the rows of which nothing was recorded; None if there is no such row. `worded`
    marks the rows whose number was given in words.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.bool_] | None
    worded: NDArray[np.bool_] | None = None

    def without(self, rows: NDArray[np.bool_]) -> "Numbers":
        """Return the same with nothing recorded of some rows, bool[N]."""
        missing = rows if self.missing is None else self.missing | rows
        return Numbers(np.where(rows, np.nan, self.values), missing, self.worded)


class Column(Protocol):
    """One field of some rows, as a format gives it."""

    def numbers(self, words: Mapping[str, float]) -> Numbers:
        """Return the values that can be compared; `words` are numbers by their plain words."""

    def is_worded(self) -> bool:
        """Return True if the cells hold words, or nothing, and no number."""

    def raw_value(self, row: int) -> str | None:
        """Return the value of a row for a message; None if the row has none, not even null."""


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table, one after the other.

    `row_errors` are problems that a format found in single rows, by their index: field, expected,
    got. Rows that are `unread` have no fields to look at. `truth` is the column that says what
    became true, if its sender named one.
    """

    count: int
    columns: Mapping[str, Column]
    passthrough: PassthroughColumns
    row_errors: Mapping[int, Sequence[tuple[str, str, str]]] = field(default_factory=dict)
    unread: frozenset[int] = frozenset()
    truth: Column | None = None


@dataclass(frozen=True)
class ScoredChunk:
    """The answers to some rows, by the columns of their task.

    Where a row is `bad`, bool[N], its values mean nothing and `errors` says why; `errors` is None
    where bad rows refuse the whole table. `reasons` are the columns of reasons, if asked for.
    """

    passthrough: PassthroughColumns
    values: Columns
    bad: NDArray[np.bool_]
    errors: Sequence[str | None] | None
    reasons: Sequence[Sequence[str | None]] = ()


def texts_of(scored: ScoredChunk) -> list[Sequence[str | None]]:
    """Return the columns of text of some answers, in the order of AnswerColumns.texts."""
    return [*scored.reasons, *([] if scored.errors is None else [scored.errors])]


@dataclass(frozen=True)
class AnswerColumns:
    """The columns of an answer, besides those carried through."""

    columns: tuple[AnswerColumn, ...]
    errors: bool
    reasons: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the columns of text behind the others: reasons, and the error."""
        reasons = tuple(f"reason_{number}" for number in range(1, self.reasons + 1))
        return (*reasons, "error") if self.errors else reasons

    @property
    def all(self) -> tuple[str, ...]:
        """Their names, in order."""
        return (*(column.name for column in self.columns), *self.texts)


def row_problem(row: int, field: str, expected: str, got: str | None) -> RowProblem:
    """Return the problem of a row; a field without any value was required."""
    if got is None:
        return RowProblem(field, "a value (required)", "nothing", row)
    return RowProblem(field, expected, got, row)
