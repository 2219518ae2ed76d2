"""Excel's workbooks, and OpenDocument's: one sheet as a table, its cells with their types."""

import datetime as dt
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import python_calamine as calamine

from service.bulk.tables.arrow_columns import TextColumn, TypedColumn
from service.bulk.tables.chunks import CHUNK_ROWS, Chunk, Column
from service.bulk.tables.columns import TableReading
from service.bulk.tables.decoders.batches import Batches
from service.bulk.tables.excel_errors import error_cells
from service.bulk.tables.header import MOST_LINES, Head, find_head
from service.bulk.tables.options import TableOptions
from service.bulk.tables.separation import separated, unique_names
from service.bulk.tables.source import OTHER_FILES
from service.contract.messages import listed
from service.contract.rows import RowTask
from service.errors import FieldProblem, InvalidPayload, UnreadableTable

MOST_UNPACKED = 128 * 2**20
"""Bytes of a workbook, unpacked: its sheet lies in memory while it is read."""
MOST_NAMED = 10
LARGEST_EXACT = 2.0**53
"""From here on, a float is no certain integer."""
ZIP = b"PK"
BINARY = b"\xd0\xcf\x11\xe0"


def read_excel(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of a workbook's sheet; `source` can seek. Raises UnreadableTable."""
    with reading.decoded(excel_batches, source) as found:
        yield from separated(found.batches, found.schema, reading, _column)


def excel_batches(source: BinaryIO, task: RowTask, options: TableOptions) -> Batches:
    """Return the rows of a workbook's sheet. Raises UnreadableTable, or InvalidPayload."""
    _check_size(source)
    try:
        workbook = calamine.load_workbook(source)
        sheet, read_as, notes = _chosen(workbook, source, task, options)
    except calamine.PasswordError as error:
        raise UnreadableTable("the workbook has a password: save it without one") from error
    except calamine.CalamineError as error:
        raise UnreadableTable(f"not an Excel workbook, or a damaged one: {error}"[:300]) from error
    return Batches(sheet.schema, _batches(sheet), read_as, notes)


def _check_size(source: BinaryIO) -> None:
    """Raises UnreadableTable for what is no workbook, or one that would fill the memory."""
    magic = source.read(4)
    source.seek(0, 2)
    size = source.tell()
    source.seek(0)
    if magic.startswith(ZIP):
        try:
            with zipfile.ZipFile(source) as archive:
                size = sum(member.file_size for member in archive.infolist())
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise UnreadableTable(f"not an Excel workbook, or a damaged one: {error}") from error
        source.seek(0)
    elif magic != BINARY:
        told = next((name for start, name in OTHER_FILES.items() if magic == start[:4]), None)
        got = told or "other bytes; if it is text, send it as text/csv or name it .csv"
        raise UnreadableTable(f"expected an Excel workbook, got {got}")
    if size > MOST_UNPACKED:
        raise UnreadableTable(
            f"the workbook has {size:,} bytes unpacked, more than {MOST_UNPACKED:,}: save its "
            "sheet as CSV, which may have any length"
        )


@dataclass(frozen=True)
class Sheet:
    """A sheet of a workbook: its name, its head, and the Arrow type of each of its columns."""

    name: str
    head: Head
    cells: Any
    errors: Mapping[int, Mapping[int, str]]
    """For each row that has cells with errors, their columns and errors."""
    schema: Any

    def rows(self) -> Iterator[list[Any]]:
        """Yield the rows below the head that are not empty, as wide as the head."""
        width, first = len(self.head.names), self.head.rows_begin
        for number, row in enumerate(islice(self.cells.iter_rows(), first, None), first):
            for place, error in self.errors.get(number, {}).items():
                row[place] = error
            if any(cell != "" for cell in row[:width]):
                yield row[:width] + [""] * (width - len(row))


def _chosen(
    workbook: Any, source: BinaryIO, task: RowTask, options: TableOptions
) -> tuple[Sheet, dict[str, str], list[str]]:
    """Return the sheet that the options name, or else the first with names of fields.

    With it, what was guessed, and doubts. Raises UnreadableTable, or InvalidPayload for a sheet
    that is not there.
    """
    names = list(workbook.sheet_names)
    if options.sheet is not None:
        name = _named(names, options.sheet)
        found = _sheet(workbook, source, name, task, options)
        if found is None:
            raise UnreadableTable(f"sheet {name!r} has no line of names and no row")
        return found, {"sheet": name}, []
    filled = [sheet for name in names if (sheet := _sheet(workbook, source, name, task, options))]
    if not filled:
        raise UnreadableTable("the workbook has no sheet with a line of names")
    known = [s for s in filled if any(task.field_names.field_of(name) for name in s.head.names)]
    found = (known or filled)[0]
    read_as, notes = {}, []
    if len(filled) > 1:
        read_as["sheet"] = found.name
        others = [repr(sheet.name) for sheet in filled if sheet is not found]
        notes.append(f"sheet {found.name!r} was read, and not {listed(others, MOST_NAMED)}")
    if found.head.skipped:
        read_as["header"] = f"line {(found.head.place or 0) + 1}"
    return found, read_as, notes


def _named(names: Sequence[str], wanted: str) -> str:
    if wanted in names:
        return wanted
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:6]) <= len(names):
        return names[int(wanted) - 1]
    problem = FieldProblem("sheet", f"one of {listed(names, MOST_NAMED)}", repr(wanted))
    raise InvalidPayload([problem])


def _sheet(
    workbook: Any, source: BinaryIO, name: str, task: RowTask, options: TableOptions
) -> Sheet | None:
    """Return a sheet, or None if it has no head."""
    try:
        cells = workbook.get_sheet_by_name(name)
    except calamine.CalamineError:  # a sheet of charts or macros
        return None
    first = [[_text(cell) for cell in row] for row in islice(cells.iter_rows(), MOST_LINES)]
    head = find_head(task, first, options.header)
    if head is None:
        return None
    errors: dict[int, dict[int, str]] = {}
    for (row_number, column), error in error_cells(source, name).items():
        errors.setdefault(row_number, {})[column - cells.start[1]] = error
    sheet = Sheet(name, head, cells, errors, None)
    kinds: list[set[type]] = [set() for _ in head.names]
    whole = [True] * len(head.names)
    for row in sheet.rows():
        for place, cell in enumerate(row):
            if cell != "":
                kinds[place].add(type(cell))
                if type(cell) is float and not (cell.is_integer() and abs(cell) < LARGEST_EXACT):
                    whole[place] = False
    types = [_kind(*each) for each in zip(kinds, whole, strict=True)]
    names = unique_names(head.names)
    schema = pa.schema(list(zip(names, types, strict=True)))
    return replace(sheet, schema=schema)


def _kind(kinds: set[type], whole: bool) -> Any:
    """Return the Arrow type of a column; of cells of several kinds it is text."""
    if kinds <= {int, float}:
        return pa.int64() if kinds and whole else pa.float64()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {dt.date}:
        return pa.date32()
    if kinds <= {dt.date, dt.datetime}:
        return pa.timestamp("us")
    return pa.string()


def _batches(sheet: Sheet) -> Iterator[Any]:
    rows = sheet.rows()
    while some := list(islice(rows, CHUNK_ROWS)):
        columns = [
            pa.array(list(map(_text, cells)), kind)
            if pa.types.is_string(kind)
            else pa.array([None if cell == "" else cell for cell in cells], kind, safe=False)
            for cells, kind in zip(zip(*some, strict=True), sheet.schema.types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=sheet.schema)


def _column(cells: Any) -> Column:
    return TextColumn(cells) if pa.types.is_string(cells.type) else TypedColumn(cells)


def _text(cell: Any) -> str:
    """Return a cell as CSV would have it."""
    match cell:
        case bool():
            return "TRUE" if cell else "FALSE"
        case float() if cell.is_integer() and abs(cell) < LARGEST_EXACT:
            return str(int(cell))
        case dt.date() | dt.time():
            return cell.isoformat()
        case _:
            return str(cell)
