"""The first lines of a table: which one holds the names, and where the rows begin."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.contract.rows import RowTask
from service.contract.tables import plain, plain_word

MOST_LINES = 20
"""Lines among which the names are looked for."""
NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")
NOTHING = frozenset(
    (
        *("", "na", "n/a", "n.a.", "<na>", "nan", "null", "none", "nil", "?", "-", "--", "."),
        # Excel's NA(), and missing values as SPSS writes them; other errors are values gone wrong.
        *("#n/a", "#null!"),
    )
)
"""Cells of text, in lower case, by which nothing was recorded."""


@dataclass(frozen=True)
class Head:
    """Where a table's names are: the columns, and the line where its rows begin.

    `place` is the line with the names, None for a table without; `skipped` are lines before it that
    are not empty.
    """

    names: tuple[str, ...]
    rows_begin: int
    place: int | None
    skipped: int = 0


def find_head(task: RowTask, lines: Sequence[Sequence[str]], header: str | None) -> Head | None:
    """Return the head of a table, of which `lines` are the first ones, cut into cells.

    Among lines of names the last one before the rows counts, as in UCI's file of credit clients;
    lines of a title before it are skipped. None if no line has a name in it. With `header` "none",
    or where every cell of the first line is a number, the columns are those of a known order.
    """
    filled = [place for place, cells in enumerate(lines) if any(cell.strip() for cell in cells)]
    if not filled:
        return None
    first = filled[0]
    if header == "none" or (header is None and _is_row(lines[first])):
        names = order_of(task, lines[first])
        return None if names is None else Head(names, first, None)
    best, most = first, _known(task, lines[first])
    for place in filled[1:MOST_LINES]:
        if _has_numbers(lines[place]):
            if most and _is_row(lines[place]):
                break
        elif (known := _known(task, lines[place])) >= max(most, 1):
            best, most = place, known
    names = tuple(cell.strip() for cell in lines[best])
    return Head(names, best + 1, best, filled.index(best))


def order_of(task: RowTask, cells: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of a table without names, by the number of its columns; None if unknown."""
    truth = task.tables.truth.names[:1]
    for order in task.tables.orders:
        for names in (order, (*order, *truth)):
            if len(names) == len(cells):
                return tuple(names)
    return None


def _known(task: RowTask, cells: Sequence[str]) -> int:
    """Return how many cells are names of fields, or of the truth."""
    names = task.field_names
    truth = task.tables.truth_names
    return sum(
        names.field_of(cell) is not None or plain(cell) in truth for cell in cells if cell.strip()
    )


def _is_row(cells: Sequence[str]) -> bool:
    """Return True if every cell is a number or nothing, and some are numbers."""
    numbers = [bool(NUMBER.fullmatch(cell.strip())) for cell in cells]
    nothing = [cell.strip().lower() in NOTHING for cell in cells]
    return any(numbers) and all(a or b for a, b in zip(numbers, nothing, strict=True))


def _has_numbers(cells: Sequence[str]) -> bool:
    return any(NUMBER.fullmatch(cell.strip()) for cell in cells)


def is_nothing(text: str) -> bool:
    """Return True for a cell by which nothing was recorded."""
    return text.strip().lower() in NOTHING or plain_word(text) in ("notrecorded", "missing")
