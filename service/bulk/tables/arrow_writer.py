"""Answers as CSV, Arrow and Parquet: extra columns and answers side by side."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.bulk.tables.arrow_columns import NUMBER, is_number
from service.bulk.tables.chunks import AnswerColumns, PassthroughColumns, ScoredChunk, texts_of
from service.bulk.tables.columns import TableReading
from service.bulk.tables.measurements import SAMPLE
from service.contract.rows import AnswerColumn
from service.errors import FieldProblem, InvalidPayload, TableTooLarge

FORMULA = r"^[=+\-@\t\r]"
"""Beginnings of cells that spreadsheets run, or that hide one (OWASP, CSV injection)."""
MOST_CELLS = 2**23
"""Cells that rows of JSON make up at once, most of them empty."""
INFINITE = (float("inf"), float("-inf"))


def answer_table(scored: ScoredChunk, names: AnswerColumns) -> Any:
    """Extras and answers side by side, as a RecordBatch."""
    passthrough = as_batch(scored.passthrough)
    columns = [
        *passthrough.columns,
        *(
            _answer_column(column, values, scored.bad)
            for column, values in zip(names.columns, scored.values, strict=True)
        ),
    ]
    columns += [pa.array(texts, pa.string()) for texts in texts_of(scored)]
    fields = [*passthrough.schema, *answer_fields(names)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _answer_column(column: AnswerColumn, values: NDArray[Any], bad: NDArray[np.bool_]) -> Any:
    kind = _kind(column)
    if not pa.types.is_string(kind):
        return pa.array(values, kind, mask=bad)
    places = pa.array(values, pa.int8(), mask=bad)
    return pa.array(column.choices, kind).take(places)


def _kind(column: AnswerColumn) -> Any:
    if not column.choices:
        return pa.float64()
    return pa.bool_() if isinstance(column.choices[0], bool) else pa.string()


def answer_fields(names: AnswerColumns) -> list[Any]:
    """Return the columns that an answer has besides the extras."""
    fields = [pa.field(column.name, _kind(column)) for column in names.columns]
    return [*fields, *(pa.field(name, pa.string()) for name in names.texts)]


def as_batch(passthrough: PassthroughColumns) -> Any:
    """Extras as a RecordBatch. Raises InvalidPayload if objects do not make up columns."""
    if not isinstance(passthrough, list):
        return passthrough
    names = dict.fromkeys(name for row in passthrough for name in row)
    _check_size(len(names), len(passthrough))
    columns = [_as_column(name, [row.get(name) for row in passthrough]) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _check_size(columns: int, rows: int) -> None:
    """Raise TableTooLarge for rows of JSON, each with names of its own, that make up no table."""
    if columns * rows > MOST_CELLS:
        advice = "ask for NDJSON, which has no columns"
        most = f"at most {MOST_CELLS:,}"
        raise TableTooLarge("columns times rows at once", most, f"{columns:,} x {rows:,}", advice)


def _as_column(name: str, values: list[Any]) -> Any:
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        expected = "values of one type, to answer in this format"
        raise InvalidPayload([FieldProblem(name, expected, str(error)[:80])]) from error
    if not _stay(values, column.type):
        expected = "values of one type that a float can hold, to answer in this format"
        raise InvalidPayload([FieldProblem(name, expected, "true, false or a larger number")])
    return column


def _stay(values: Iterable[Any], kind: Any) -> bool:
    """Return True if floats hold the values: to Arrow, true beside 1.5 is 1.0, 1e400 infinite.

    Of all other types, Arrow takes nothing that is of another.
    """
    if pa.types.is_floating(kind):
        return not any(type(value) is bool or value in INFINITE for value in values)
    if pa.types.is_list(kind):
        return _stay((item for value in values for item in value or ()), kind.value_type)
    if pa.types.is_struct(kind):
        values = [value for value in values if value is not None]
        return all(_stay([value.get(f.name) for value in values], f.type) for f in kind)
    return True


class ArrowWriter:
    """Answers as an Arrow IPC stream."""

    def __init__(self, sink: BinaryIO, reading: TableReading) -> None:
        self._sink, self._reading, self._names = sink, reading, reading.answer
        self._writer: Any = None

    def write(self, scored: ScoredChunk) -> None:
        """Write a chunk. Raises InvalidPayload if its pass-through columns are not those before."""
        table = answer_table(scored, self._names)
        try:
            if self._writer is None:
                self._writer = self._open(table)
            self._writer.write_batch(_as_before(table, self._writer_schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            expected = "extra columns that the format of the answer has types for"
            raise InvalidPayload([FieldProblem("body", expected, str(error)[:80])]) from error

    def close(self) -> None:
        """Write the end of the format; a reader takes a file without it for damaged."""
        if self._writer is None:
            self._writer = self._open(pa.schema(answer_fields(self._names)).empty_table())
        self._writer.close()

    def _open(self, first: Any) -> Any:
        self._writer_schema = first.schema
        return self._new(first)

    def _new(self, first: Any) -> Any:
        return pa.ipc.new_stream(self._sink, first.schema)


class ArrowFileWriter(ArrowWriter):
    """Answers as an Arrow IPC file."""

    def _new(self, first: Any) -> Any:
        return pa.ipc.new_file(self._sink, first.schema)


class ParquetWriter(ArrowWriter):
    """Answers as Parquet."""

    def _new(self, first: Any) -> Any:
        # Of ids and probabilities a dictionary would be made, grow too large, and be thrown away.
        repeated = [
            name
            for name, cells in zip(first.schema.names, first.columns, strict=True)
            if _repeats(cells.slice(0, SAMPLE))
        ]
        return pq.ParquetWriter(self._sink, first.schema, use_dictionary=repeated)


def _repeats(cells: Any) -> bool:
    """Return True if most cells are like others; also for types of which Arrow cannot tell."""
    try:
        return bool(2 * pc.count_distinct(cells).as_py() <= len(cells))
    except pa.ArrowNotImplementedError:
        return True


def _as_before(table: Any, schema: Any) -> Any:
    if table.schema.equals(schema):
        return table
    # Only objects come without a schema: a chunk may lack a column, or have nulls only.
    if new := [name for name in table.schema.names if name not in schema.names]:
        expected = "no extra fields but those of the first rows, to answer in this format"
        raise InvalidPayload([FieldProblem(name, expected, "a field") for name in new])
    _check_size(len(schema), table.num_rows)
    columns = []
    for field in schema:
        place = table.schema.get_field_index(field.name)
        if place < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        columns.append(_as_type(field, table.column(place)))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_type(field: Any, column: Any) -> Any:
    if _holds(field.type, column.type):
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return column.cast(field.type)
    expected = f"{field.type} as in the first rows, to answer in this format"
    raise InvalidPayload([FieldProblem(field.name, expected, str(column.type))])


def _holds(kind: Any, other: Any) -> bool:
    """Return True if values of the other type are the same in this one: text is no number."""
    if kind.equals(other) or pa.types.is_null(other):
        return True
    if pa.types.is_list(kind) and pa.types.is_list(other):
        return _holds(kind.value_type, other.value_type)
    if pa.types.is_struct(kind) and pa.types.is_struct(other):
        # Arrow would leave out what it does not know.
        return all(f.name in kind.names and _holds(kind.field(f.name).type, f.type) for f in other)
    return is_number(kind) and pa.types.is_integer(other)


class CsvWriter:
    """Answers as CSV; a cell has quotes around it only where it could not be read without."""

    DELIMITER = ","

    def __init__(self, sink: BinaryIO, reading: TableReading) -> None:
        self._sink, self._reading, self._names = sink, reading, reading.answer
        self._escapes = reading.options.formulas == "escape"
        self._schema: Any = None
        # No extra column has the name of an answer's: their words need not be searched for commas.
        self._plain = frozenset(
            column.name
            for column in self._names.columns
            if column.choices
            and not set(f'"{self.DELIMITER}\r\n') & set("".join(map(str, column.choices)))
        )

    def write(self, scored: ScoredChunk) -> None:
        """Write a chunk. Raises InvalidPayload if CSV cannot hold its pass-through columns."""
        table = answer_table(scored, self._names)
        if self._schema is None:
            self._schema = table.schema
            self._sink.write(self._header_line(self._schema.names))
        self._schema = _known(self._schema, table.schema)
        self._sink.write(self._lines(_as_before(table, self._schema)))

    def close(self) -> None:
        """Write the line of names if no row was written, and the count where it was asked for."""
        if self._schema is None:
            self._sink.write(self._header_line(list(self._names.all)))
        if self._reading.options.end == "count":
            report = self._reading.report
            count = f"# rows={report.rows} scored={report.rows - report.bad} bad={report.bad}\n"
            self._sink.write(count.encode())

    def _header_line(self, names: list[str]) -> bytes:
        cells = self._text_cells(pa.array(names, pa.string())).to_pylist()
        return self.DELIMITER.join(cells).encode() + b"\n"

    def _lines(self, table: Any) -> Any:
        if not table.num_rows:
            return b""
        *cells, last = [
            column
            if field.name in self._plain and pa.types.is_string(column.type)
            else self._as_text(field, column)
            for field, column in zip(table.schema, table.columns, strict=True)
        ]
        ended = pc.binary_join_element_wise(last, "\n", "", null_handling="replace")
        lines = pc.binary_join_element_wise(*cells, ended, self.DELIMITER, null_handling="replace")
        # The cells of a column of text lie one behind the other: they are the file as it should be.
        return _content(lines)

    def _as_text(self, field: Any, column: Any) -> Any:
        if pa.types.is_boolean(column.type) or is_number(column.type):
            return column.cast(pa.string())
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            text = column.cast(pa.string())
            # Of a time that no calendar has, Arrow writes "<value out of range: 123>".
            if not (pa.types.is_temporal(field.type) and pc.any(pc.starts_with(text, "<")).as_py()):
                return self._text_cells(text)
        problem = FieldProblem(field.name, "a column that fits into CSV", str(field.type))
        raise InvalidPayload([problem])

    def _text_cells(self, text: Any) -> Any:
        if self._escapes:
            text = self._escaped(text)
        needed = pc.match_substring_regex(text, f'["{self.DELIMITER}\r\n]')
        if not pc.any(needed).as_py():
            return text
        doubled = pc.replace_substring(text, '"', '""')
        return pc.if_else(needed, pc.binary_join_element_wise('"', doubled, '"', ""), text)

    def _escaped(self, text: Any) -> Any:
        """Return text of which no cell is a formula to a spreadsheet; numbers stay as they are."""
        begins = pc.match_substring_regex(text, FORMULA)
        formula = pc.and_(begins, pc.invert(pc.match_substring_regex(text, NUMBER)))
        count = pc.sum(formula).as_py()
        if not count:
            return text
        self._reading.report.escaped += count
        return pc.if_else(formula, pc.binary_join_element_wise("'", text, ""), text)


class TsvWriter(CsvWriter):
    """Answers as CSV with tabs in place of commas."""

    DELIMITER = "\t"


def _known(schema: Any, newer: Any) -> Any:
    """Return the batch with types for columns that held nulls alone so far."""
    if not any(map(pa.types.is_null, schema.types)) or schema.equals(newer):
        return schema
    told = {field.name: field for field in newer}
    return pa.schema(
        [told.get(field.name, field) if pa.types.is_null(field.type) else field for field in schema]
    )


def _content(lines: Any) -> Any:
    _, offsets, content = lines.buffers()
    places = np.frombuffer(offsets, np.int32)
    start, end = int(places[lines.offset]), int(places[lines.offset + len(lines)])
    return content.slice(start, end - start)
