"""Answers as a workbook of Excel: one sheet, its cells with their types, no formula among them."""

import datetime as dt
import weakref
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import xlsxwriter

from service.bulk.tables.arrow_writer import answer_fields, answer_table
from service.bulk.tables.chunks import ScoredChunk
from service.bulk.tables.columns import TableReading
from service.errors import FieldProblem, InvalidPayload

MOST_ROWS = 2**20
"""Rows of a sheet, the line of names among them."""
LARGEST_EXACT = 2**53
"""Excel's numbers are floats: a larger integer would lose its last digits."""
OPTIONS = {
    "constant_memory": True,
    # A cell of text stays text, whatever it begins with: nothing of it is run.
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "nan_inf_to_errors": True,
    "default_date_format": "yyyy-mm-dd hh:mm:ss",
    "remove_timezone": True,
}


class ExcelWriter:
    """Answers as a workbook; it leaves at its end, because a workbook begins with its end."""

    def __init__(self, sink: BinaryIO, reading: TableReading) -> None:
        self._names = reading.answer
        folder = {"tmpdir": str(reading.spool_dir)} if reading.spool_dir else {}
        self._workbook = xlsxwriter.Workbook(sink, OPTIONS | folder)
        self._sheet = self._workbook.add_worksheet("scored")
        # An answer that fails is never closed, and its rows would stay on disk.
        weakref.finalize(self, _remove_rows, self._sheet)
        self._dates = self._workbook.add_format({"num_format": "yyyy-mm-dd"})
        self._columns: list[str] | None = None
        self._row = 0

    def write(self, scored: ScoredChunk) -> None:
        """Write a chunk. Raises InvalidPayload for more rows than a sheet has."""
        table = answer_table(scored, self._names)
        if self._columns is None:
            self._start(table.schema.names)
        if table.schema.names != self._columns:
            new = [name for name in table.schema.names if name not in (self._columns or ())]
            expected = "no extra fields but those of the first rows, to answer in this format"
            raise InvalidPayload([FieldProblem(name, expected, "a field") for name in new[:10]])
        if self._row + table.num_rows > MOST_ROWS:
            expected = f"at most {MOST_ROWS - 1:,} rows in Excel; CSV holds any number"
            raise InvalidPayload([FieldProblem("rows", expected, "more")])
        for cells in zip(*map(_cells, table.columns), strict=True):
            for place, cell in enumerate(cells):
                self._write(place, cell)
            self._row += 1

    def _start(self, names: list[str]) -> None:
        self._columns = names
        for place, name in enumerate(names):
            self._sheet.write_string(0, place, name)
        self._sheet.freeze_panes(1, 0)
        self._row = 1

    def _write(self, place: int, cell: Any) -> None:
        match cell:
            case None:
                return
            case bool():
                self._sheet.write_boolean(self._row, place, cell)
            case int() if abs(cell) > LARGEST_EXACT:
                self._sheet.write_string(self._row, place, str(cell))
            case int() | float():
                self._sheet.write_number(self._row, place, cell)
            case dt.datetime():
                self._sheet.write_datetime(self._row, place, cell)
            case dt.date():
                self._sheet.write_datetime(self._row, place, cell, self._dates)
            case _:
                self._sheet.write_string(self._row, place, str(cell))

    def close(self) -> None:
        """Write the end of the format, which is all of it."""
        if self._columns is None:
            self._start([field.name for field in answer_fields(self._names)])
        self._workbook.close()


def _remove_rows(sheet: Any) -> None:
    """Remove the file in which a sheet keeps its rows until the workbook is closed."""
    sheet.row_data_fh.close()
    Path(sheet.row_data_filename).unlink(missing_ok=True)


def _cells(column: Any) -> list[Any]:
    """Return a column's cells as Python has them; of types that Excel lacks, as text."""
    kind = column.type
    if pa.types.is_decimal(kind):
        return list(column.cast(pa.float64()).to_pylist())
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    return list(column.to_pylist())
