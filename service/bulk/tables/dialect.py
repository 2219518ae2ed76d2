"""The form of a table of text: its delimiter, its line of names, its sign of decimals."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.bulk.tables.columns import MOST_COLUMNS, check_names
from service.bulk.tables.header import MOST_LINES, Head, find_head
from service.bulk.tables.options import DELIMITERS, TableOptions
from service.contract.rows import RowTask
from service.errors import UnreadableTable

WITH_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
WITH_POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}((,[0-9]{3})+|(\.[0-9]{3})+)")
SAMPLE_ROWS = 2000
LOOKED_AT = 2**16


@dataclass(frozen=True)
class Dialect:
    """The form of one table: `start` is the byte at which its rows begin."""

    delimiter: str
    decimal: str
    head: Head
    start: int


def dialect_of(task: RowTask, block: bytes, whole: bool, options: TableOptions) -> Dialect:
    """Return the form of a table by its first bytes, UTF-8, which may be the `whole` of it.

    Raises UnreadableTable, or InvalidPayload for too many columns.
    """
    for most in (LOOKED_AT, len(block)):
        # Bytes that are no UTF-8 keep their number; who reads the rows says what is wrong.
        text = block[:most].decode("utf-8", errors="surrogateescape")
        delimiter = options.delimiter or _delimiter(task, text)
        lines, ends = _lines(text, delimiter, MOST_LINES if delimiter == "," else SAMPLE_ROWS)
        if len(lines) > MOST_LINES / 2 or most >= len(block):
            break
    if not lines:
        raise UnreadableTable("not CSV: expected a line with the names of columns, got nothing")
    if not whole and len(lines) == 1 and ends[0] >= len(text):
        raise UnreadableTable(f"not CSV: the line of names is longer than {len(block):,} bytes")
    check_names(max(lines[:MOST_LINES], key=len))
    head = find_head(task, lines, options.header)
    if head is None:
        raise UnreadableTable(_nameless(task, lines, options))
    start = ends[head.rows_begin - 1] if head.rows_begin else 0
    if not text[:start].isprintable() and any(
        "\udc80" <= sign <= "\udcff" for sign in text[:start]
    ):
        raise UnreadableTable("not CSV: expected text in UTF-8, got other bytes in its first line")
    decimal = options.decimal or _decimal(task, head, lines[head.rows_begin :], delimiter, options)
    return Dialect(delimiter, decimal, head, len(text[:start].encode(errors="surrogateescape")))


def _nameless(task: RowTask, lines: Sequence[Sequence[str]], options: TableOptions) -> str:
    """Return the reason why a table without names cannot be read."""
    filled = next((cells for cells in lines if any(map(str.strip, cells))), None)
    if filled is None:
        return "not CSV: expected a line with the names of columns, got empty lines"
    widths = sorted({len(order) + more for order in task.tables.orders for more in (0, 1)})
    known = f", and an order is known of {' or '.join(map(str, widths))} only" if widths else ""
    said = "header=none says so" if options.header else "its first line is one of numbers"
    return (
        f"the table has no line of names ({said}: {_short(filled)}); it has {len(filled)} "
        f"column{'s' * (len(filled) > 1)}{known}: give it a first line with their names"
    )


def _short(cells: Sequence[str]) -> str:
    shown = ", ".join(cells)
    return repr(shown if len(shown) <= 60 else shown[:59] + "…")


def _delimiter(task: RowTask, text: str) -> str:
    """Return the delimiter by which the most names of fields are found; of none, the steadiest."""
    names = task.field_names

    def known(cells: Sequence[str]) -> int:
        # More columns are refused, however their delimiter is called.
        return sum(names.field_of(cell) is not None for cell in cells[:MOST_COLUMNS])

    def rank(sign: str) -> tuple[int, int]:
        lines, _ = _lines(text, sign, MOST_LINES)
        widths = {len(cells) for cells in lines[:-1] or lines}
        return max(map(known, lines), default=0), widths.pop() if len(widths) == 1 else 1

    required = sum(feature.required for feature in task.features)
    first, _ = _lines(text, ",", 1)
    if any(known(cells) >= max(required, 2) for cells in first):
        return ","
    return max(DELIMITERS.values(), key=rank)  # of equals the first, which is the comma


def _lines(text: str, delimiter: str, most: int) -> tuple[list[list[str]], list[int]]:
    """Return the first lines cut into cells, and the place in the text where each ends.

    A line may be of several, if quotes are around its ends; a last one may be cut.
    """
    source = io.StringIO(text, newline="")
    fed = _Fed(source)
    reader = csv.reader(fed, delimiter=delimiter, skipinitialspace=delimiter == " ", strict=False)
    lines, ends = [], []
    try:
        for cells in reader:
            if delimiter == " ":
                cells = [cell for cell in cells if cell]
            lines.append(cells)
            ends.append(fed.place)
            if len(lines) >= most:
                break
    except csv.Error:  # a cell of more than 128 KiB
        pass
    return lines, ends


class _Fed:
    """The lines of a text for csv's reader, and how far it has read."""

    def __init__(self, source: io.StringIO) -> None:
        self._source, self.place = source, 0

    def __iter__(self) -> "_Fed":
        return self

    def __next__(self) -> str:
        line = self._source.readline()
        if not line:
            raise StopIteration
        self.place += len(line)
        return line


def _decimal(
    task: RowTask, head: Head, rows: Sequence[Sequence[str]], delimiter: str, options: TableOptions
) -> str:
    """Return the sign of decimals that the cells of fields have, a point where nothing tells.

    Raises UnreadableTable for numbers such as 50,000 or 50.000 alone, which may be fifty or fifty
    thousand.
    """
    if delimiter == ",":
        return "."
    names = task.field_names
    places = [
        place
        for place, name in enumerate(head.names)
        if name in options.fields or names.field_of(name)
    ]
    cells = [row[place].strip() for row in rows for place in places if place < len(row)]
    commas = [cell for cell in cells if WITH_COMMA.fullmatch(cell)]
    points = [cell for cell in cells if WITH_POINT.fullmatch(cell)]
    grouped = [cell for cell in cells if THOUSANDS.fullmatch(cell)]
    if grouped and len(grouped) == len(commas) + len(points):
        raise UnreadableTable(
            f"{grouped[0]!r} may be a decimal number or thousands: decimal=point and decimal=comma "
            "say which sign is the decimal one; the other is that of thousands then"
        )
    return "," if commas and set(points) <= set(grouped) else "."
