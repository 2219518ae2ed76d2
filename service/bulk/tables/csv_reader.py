"""CSV and its kin: text whose columns have one name from end to end."""

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from service.bulk.tables.arrow_columns import TextColumn
from service.bulk.tables.chunks import Chunk
from service.bulk.tables.columns import TableReading
from service.bulk.tables.dialect import Dialect, dialect_of
from service.bulk.tables.options import DELIMITERS
from service.bulk.tables.separation import readable, separated, unique_names
from service.contract.messages import listed
from service.errors import UnreadableTable

BLOCK = 2**20
SPACES = re.compile(rb"[ \t]+")
AROUND_LINES = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)


def read_csv(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of CSV in UTF-8, in the form that its first lines have.

    Pass-through columns stay text.
    """
    first = source.read(BLOCK)
    if first and len(first) < BLOCK and not first.endswith(b"\n"):
        first += b"\n"  # without it, Arrow does not see that there is a line at all
    dialect = dialect_of(reading.task, first, len(first) < BLOCK, reading.options)
    _say(dialect, reading)
    names = unique_names(dialect.head.names)
    rows: BinaryIO = CsvBlocks(first[dialect.start :], source)  # type: ignore[assignment]
    if dialect.delimiter == " ":
        rows = SingleSpaces(rows)  # type: ignore[assignment]
    bad_rows: list[Any] = []

    def on_bad_row(row: Any) -> str:
        bad_rows.append(row)
        return "error"

    grouped = reading.options.decimal is not None or dialect.decimal == ","

    def column(cells: Any) -> TextColumn:
        return TextColumn(cells, dialect.decimal, grouped)

    with readable("CSV", lambda error: _of_csv_row(bad_rows, error, dialect)):
        schema = pa.schema([(name, pa.string()) for name in names])
        if len(first) < BLOCK and not first[dialect.start :].strip():
            yield from separated((), schema, reading, column)
            return
        reader = pa_csv.open_csv(
            rows,
            # Its threads gain nothing where a reader is one of several, and reorder row numbers.
            read_options=pa_csv.ReadOptions(
                block_size=BLOCK, use_threads=False, column_names=names
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=dialect.delimiter,
                newlines_in_values=True,
                invalid_row_handler=on_bad_row,
            ),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
        yield from separated(reading.allowance.counted(reader), schema, reading, column)


def _say(dialect: Dialect, reading: TableReading) -> None:
    """Report what was guessed of a table's form, where it is not the usual one."""
    said, head = reading.report.read_as, dialect.head
    if dialect.delimiter != ",":
        said["delimiter"] = next(n for n, sign in DELIMITERS.items() if sign == dialect.delimiter)
    if dialect.decimal == ",":
        said["decimal"] = "comma"
    if head.place is None:
        said["header"] = "none"
        order = listed(head.names, len(head.names))
        reading.report.notes[f"without a line of names the columns were taken for {order}"] = None
    elif head.skipped:
        said["header"] = f"line {head.place + 1}"


def _of_csv_row(bad_rows: list[Any], error: Exception, dialect: Dialect) -> str:
    if not bad_rows:
        if "UTF8" in str(error):
            return "expected text in UTF-8, got other bytes; encoding= says another, such as cp1252"
        return str(error)
    row = bad_rows[-1]
    return (
        f"row {row.number}: expected {row.expected_columns} cells as in the line of names, "
        f"got {row.actual_columns}"
    )


class CsvBlocks(io.RawIOBase):
    """The bytes already read from a file, then the rest, in blocks that never end with a CR.

    Arrow takes a CR at the end of a block for a whole end of line and drops the LF that begins the
    next one, also inside a quoted cell (apache/arrow #51368).
    """

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; empty at the end only."""
        block, self._first = self._first, b""
        if size < 0:
            return block + self._rest.read()
        if len(block) < size:
            block += self._rest.read(size - len(block))
        block, self._first = block[:size], block[size:]
        if len(block) > 1 and block.endswith(b"\r"):
            block, self._first = block[:-1], b"\r" + self._first
        return block


class SingleSpaces(io.RawIOBase):
    """Text whose cells have spaces between them, with one space at each place."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read about `size` bytes; empty at the end only. Raises UnreadableTable."""
        while True:
            block = self._source.read(size)
            text = self._rest + block
            end = len(text) if not block else text.rfind(b"\n") + 1
            self._rest = text[end:]
            if len(self._rest) > BLOCK:
                raise UnreadableTable(f"not CSV: a line is longer than {BLOCK:,} bytes")
            lines = AROUND_LINES.sub(b"", SPACES.sub(b" ", text[:end]))
            if lines or not block:
                return lines
