"""Answers as CSV, Arrow and Parquet: extra columns and answers side by side."""

from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.errors import FieldProblem, InvalidPayload
from service.portfolio.rows import CERTAINTY, Extras, Names, Scored
from service.portfolio.tables import is_number
from service.predictions import CERTAINTIES


def answer_table(scored: Scored, names: Names) -> Any:
    """Extras and answers side by side, as a RecordBatch."""
    extras = as_batch(scored.extras)
    bad = np.isnan(scored.probability)
    columns = [
        *extras.columns,
        pa.array(scored.probability, pa.float64(), mask=bad),
        pa.array(scored.decision, pa.bool_(), mask=bad),
    ]
    if scored.decided is not None:
        decided = pa.array(scored.decided, pa.bool_(), mask=bad)
        columns.append(pc.if_else(decided, *reversed(CERTAINTIES)))
        columns.append(pa.array(scored.familiar, pa.bool_(), mask=bad))
    if names.errors:
        columns.append(pa.array(scored.errors, pa.string()))
    fields = [*extras.schema, *answer_fields(names)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def answer_fields(names: Names) -> list[Any]:
    """The columns that an answer has besides the extras."""
    kinds = {"probability": pa.float64(), CERTAINTY: pa.string(), "error": pa.string()}
    return [pa.field(name, kinds.get(name, pa.bool_())) for name in names.all]


def as_batch(extras: Extras) -> Any:
    """Extras as a RecordBatch. Raises InvalidPayload if objects do not make up columns."""
    if not isinstance(extras, list):
        return extras
    names = dict.fromkeys(name for row in extras for name in row)
    try:
        columns = [pa.array([row.get(name) for row in extras]) for name in names]
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        expected = "values of one type in each extra column, to answer in this format"
        raise InvalidPayload([FieldProblem("body", expected, str(error)[:80])]) from error
    return pa.RecordBatch.from_arrays(columns, names=list(names))


class ArrowWriter:
    """Answers as an Arrow IPC stream."""

    def __init__(self, sink: BinaryIO, names: Names) -> None:
        self._sink, self._names = sink, names
        self._writer: Any = None

    def write(self, scored: Scored) -> None:
        """Some rows more. Raises InvalidPayload if their extra columns are not those before."""
        table = answer_table(scored, self._names)
        try:
            if self._writer is None:
                self._writer = self._open(table.schema)
            self._writer.write_batch(_as_before(table, self._writer_schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            expected = "extra columns that the format of the answer has types for"
            raise InvalidPayload([FieldProblem("body", expected, str(error)[:80])]) from error

    def close(self) -> None:
        """The end of the format, without which a reader knows that it is not whole."""
        if self._writer is None:
            self._writer = self._open(pa.schema(answer_fields(self._names)))
        self._writer.close()

    def _open(self, schema: Any) -> Any:
        self._writer_schema = schema
        return self._new(schema)

    def _new(self, schema: Any) -> Any:
        return pa.ipc.new_stream(self._sink, schema)


class ArrowFileWriter(ArrowWriter):
    """Answers as an Arrow IPC file."""

    def _new(self, schema: Any) -> Any:
        return pa.ipc.new_file(self._sink, schema)


class ParquetWriter(ArrowWriter):
    """Answers as Parquet."""

    def _new(self, schema: Any) -> Any:
        return pq.ParquetWriter(self._sink, schema)


def _as_before(table: Any, schema: Any) -> Any:
    if table.schema.equals(schema):
        return table
    # Only objects come without a schema: a chunk may lack a column, or have nulls only.
    if new := [name for name in table.schema.names if name not in schema.names]:
        expected = "no extra fields but those of the first rows, to answer in this format"
        raise InvalidPayload([FieldProblem(name, expected, "a field") for name in new])
    columns = []
    for field in schema:
        place = table.schema.get_field_index(field.name)
        if place < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(table.column(place).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            expected = f"{field.type} as in the first rows, to answer in this format"
            got = str(table.column(place).type)
            raise InvalidPayload([FieldProblem(field.name, expected, got)]) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


class CsvWriter:
    """Answers as CSV; a cell has quotes around it only where it could not be read without."""

    def __init__(self, sink: BinaryIO, names: Names) -> None:
        self._sink, self._names = sink, names
        self._schema: Any = None

    def write(self, scored: Scored) -> None:
        """Some rows more. Raises InvalidPayload if CSV cannot hold their extra columns."""
        table = answer_table(scored, self._names)
        if self._schema is None:
            self._schema = table.schema
            self._sink.write(_header_line(self._schema.names))
        self._sink.write(_lines(_as_before(table, self._schema)))

    def close(self) -> None:
        """The line of names, if nothing came after it."""
        if self._schema is None:
            self._sink.write(_header_line(list(self._names.all)))


def _header_line(names: list[str]) -> bytes:
    cells = _quoted(pa.array(names, pa.string())).to_pylist()
    return ",".join(cells).encode() + b"\n"


def _lines(table: Any) -> Any:
    if not table.num_rows:
        return b""
    *cells, last = [
        _as_text(field, column) for field, column in zip(table.schema, table.columns, strict=True)
    ]
    ended = pc.binary_join_element_wise(last, "\n", "", null_handling="replace")
    lines = pc.binary_join_element_wise(*cells, ended, ",", null_handling="replace")
    # The cells of a column of text lie one behind the other: they are the file as it should be.
    return _content(lines)


def _content(lines: Any) -> Any:
    _, offsets, content = lines.buffers()
    places = np.frombuffer(offsets, np.int32)
    start, end = int(places[lines.offset]), int(places[lines.offset + len(lines)])
    return content.slice(start, end - start)


def _as_text(field: Any, column: Any) -> Any:
    if field.name == CERTAINTY:  # no extra column has this name, and no word of it a comma
        return column
    if pa.types.is_boolean(column.type) or is_number(column.type):
        return column.cast(pa.string())
    try:
        return _quoted(column.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        expected = "a column that fits into CSV"
        raise InvalidPayload([FieldProblem(field.name, expected, str(field.type))]) from error


def _quoted(text: Any) -> Any:
    needed = pc.match_substring_regex(text, '[",\r\n]')
    if not pc.any(needed).as_py():
        return text
    doubled = pc.replace_substring(text, '"', '""')
    return pc.if_else(needed, pc.binary_join_element_wise('"', doubled, '"', ""), text)
