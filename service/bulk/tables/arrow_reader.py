"""CSV, Arrow and Parquet: tables whose columns have one name and one type from end to end."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from service.bulk.tables.arrow_cells import shown
from service.bulk.tables.chunks import CHUNK_ROWS, AnswerColumns, Chunk, Column, Numbers
from service.bulk.tables.validation import column_problems
from service.contract.fields import Feature
from service.contract.messages import LONGEST_ECHO, echo
from service.errors import InvalidPayload, UnreadableTable

BLOCK = 2**20
MOST_BYTES = 4 * 2**20
"""Joined before rows are scored, however few: an answer is several times in memory on its way."""
ARROW_MAGIC = b"ARROW1"
VIEWED = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
# What is a number in text, for all formats of text alike; RE2's syntax.
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class TypedColumn:
    """A column of Arrow's types: numbers are numbers, and nothing else is (true is not 1)."""

    cells: Any

    def numbers(self) -> Numbers:
        """Integers, floats and decimals as float64."""
        cells, kind = self.cells, self.cells.type
        missing = cells.is_null().to_numpy(zero_copy_only=False) if cells.null_count else None
        if is_number(kind):
            floats = cells.cast(pa.float64(), safe=False)
            return Numbers(floats.to_numpy(zero_copy_only=False), missing)
        return Numbers(np.full(len(cells), np.nan), missing)

    def raw_value(self, row: int) -> str:
        """Return a cell as JSON writes it, for a message."""
        return shown(self.cells[row])


@dataclass(frozen=True)
class TextColumn:
    """A column of text: what reads as a number is one; in an empty cell nothing was recorded."""

    cells: Any

    def numbers(self) -> Numbers:
        """Return the cells that read as numbers, spaces around them aside."""
        try:
            return Numbers(_floats(self.cells), None)
        except pa.ArrowInvalid:
            text = pc.utf8_trim_whitespace(self.cells)
        missing = pc.equal(text, "")
        reads = pc.match_substring_regex(text, NUMBER)
        floats = _floats(pc.if_else(reads, text, pa.scalar(None, pa.string())))
        return Numbers(floats, missing.to_numpy(zero_copy_only=False))

    def raw_value(self, row: int) -> str:
        """Return a number without quotes, any other text in them."""
        text = self.cells[row].as_py()
        number = pc.match_substring_regex(pa.scalar(text.strip()), NUMBER).as_py()
        return text.strip()[:LONGEST_ECHO] if number else echo(text)


def is_number(kind: Any) -> bool:
    """Return True if cells of this Arrow type are numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _floats(text: Any) -> Any:
    return text.cast(pa.float64()).to_numpy(zero_copy_only=False)


def read_csv(
    source: BinaryIO, features: Sequence[Feature], answer: AnswerColumns
) -> Iterator[Chunk]:
    """Yield the rows of CSV in UTF-8 with a line of names. Pass-through columns stay text."""
    first = source.read(BLOCK)
    if len(first) < BLOCK and not first.endswith(b"\n"):
        first += b"\n"  # without it, Arrow does not see that there is a line at all
    names = _header(first)
    _check_columns(features, names, answer)
    bad_rows: list[Any] = []

    def on_bad_row(row: Any) -> str:
        bad_rows.append(row)
        return "error"

    with _readable("CSV", lambda error: _of_csv_row(bad_rows, error)):
        reader = pa_csv.open_csv(
            CsvBlocks(first, source),
            # Its threads gain nothing where a reader is one of several, and reorder row numbers.
            read_options=pa_csv.ReadOptions(block_size=BLOCK, use_threads=False),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=on_bad_row
            ),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
        yield from _rows(reader, reader.schema, features, TextColumn)


def _header(block: bytes) -> list[str]:
    # Arrow has no type for "all columns": it has to be told their names.
    text = io.StringIO(block.decode("utf-8-sig", errors="replace"), newline="")
    names = next((row for row in csv.reader(text) if row), None)
    if names is None:
        raise UnreadableTable("not CSV: expected a line with the names of columns, got nothing")
    if len(block) == BLOCK and not text.read(1):  # the rest of the line is not here
        raise UnreadableTable(f"not CSV: the line of names is longer than {BLOCK:,} bytes")
    return names


def _of_csv_row(bad_rows: list[Any], error: Exception) -> str:
    if not bad_rows:
        return "expected text in UTF-8, got other bytes" if "UTF8" in str(error) else str(error)
    row = bad_rows[-1]
    return (
        f"row {row.number - 1}: expected {row.expected_columns} cells as in the line of names, "
        f"got {row.actual_columns}"
    )


def read_arrow(
    source: BinaryIO, features: Sequence[Feature], answer: AnswerColumns
) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC stream."""
    with _readable("an Arrow IPC stream"):
        reader = pa.ipc.open_stream(source)
        _check_columns(features, reader.schema.names, answer)
        yield from _rows(_alone(reader, source), reader.schema, features, TypedColumn)


def read_arrow_file(
    source: BinaryIO, features: Sequence[Feature], answer: AnswerColumns
) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC file (Feather), or of a stream with the same suffix."""
    magic = source.read(len(ARROW_MAGIC))
    source.seek(0)
    if magic != ARROW_MAGIC:
        yield from read_arrow(source, features, answer)
        return
    with _readable("an Arrow IPC file"):
        reader = pa.ipc.open_file(source)
        _check_columns(features, reader.schema.names, answer)
        batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
        yield from _rows(_sound(batches), reader.schema, features, TypedColumn)


def read_parquet(
    source: BinaryIO, features: Sequence[Feature], answer: AnswerColumns
) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file; `source` can seek."""
    with _readable("Parquet"):
        file = pq.ParquetFile(source, pre_buffer=False)
        _check_columns(features, file.schema_arrow.names, answer)
        batches = file.iter_batches(batch_size=CHUNK_ROWS, use_threads=False)
        yield from _rows(batches, file.schema_arrow, features, TypedColumn)


def _sound(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)  # offsets that point elsewhere would crash what comes after
        yield batch


def _alone(reader: Any, source: BinaryIO) -> Iterator[Any]:
    yield from _sound(reader)
    if source.read(1):  # another stream's rows would be lost
        raise UnreadableTable("not one Arrow IPC stream: expected nothing behind its end, got more")


def _check_columns(features: Sequence[Feature], names: list[str], answer: AnswerColumns) -> None:
    if problems := column_problems(features, names, answer):
        raise InvalidPayload(problems)


@contextmanager
def _readable(form: str, detail: Callable[[Exception], str] = str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowMemoryError, OSError) as error:
        raise UnreadableTable(f"not {form}: {detail(error)[:300]}") from error


def _rows(
    batches: Iterable[Any], schema: Any, features: Sequence[Feature], column: type[Any]
) -> Iterator[Chunk]:
    """Yield at least one chunk, so that the columns of an empty table are known too."""
    columns = [pa.nulls(0, kind) for kind in schema.types]
    nothing = _plain(pa.RecordBatch.from_arrays(columns, schema=schema))
    empty = True
    for batch in _of_size(map(_plain, batches), nothing.schema):
        empty = False
        yield _taken_apart(batch, features, column)
    if empty:
        yield _taken_apart(nothing, features, column)


def _plain(batch: Any) -> Any:
    """Return a batch without dictionaries and runs: every value is written out."""
    if not any(map(_is_packed, batch.schema.types)):
        return batch
    columns = map(_unpacked, batch.columns)
    return pa.RecordBatch.from_arrays(list(columns), names=batch.schema.names)


def _is_packed(kind: Any) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind))


def _unpacked(cells: Any) -> Any:
    if pa.types.is_run_end_encoded(cells.type):
        return pc.run_end_decode(cells)
    if not pa.types.is_dictionary(cells.type):
        return cells
    if plain := VIEWED.get(cells.type.value_type):  # Arrow cannot take some of those
        values = cells.dictionary.cast(plain)
        cells = pa.DictionaryArray.from_arrays(cells.indices, values)
    return cells.dictionary_decode()


def _taken_apart(batch: Any, features: Sequence[Feature], column: type[Any]) -> Chunk:
    names = {feature.name for feature in features}
    columns: dict[str, Column] = {}
    passthrough = []
    for name, cells in zip(batch.schema.names, batch.columns, strict=True):
        if name not in names:
            passthrough.append(name)
            continue
        columns[name] = column(cells)
    return Chunk(batch.num_rows, columns, batch.select(passthrough).replace_schema_metadata(None))


def _of_size(batches: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Yield the same rows in batches of about CHUNK_ROWS: small ones joined, large ones cut."""
    waiting: list[Any] = []
    count = size = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if count >= CHUNK_ROWS or size >= MOST_BYTES:
            yield from _joined(waiting, schema)
            waiting, count, size = [], 0, 0
    if count:
        yield from _joined(waiting, schema)


def _joined(batches: list[Any], schema: Any) -> Iterator[Any]:
    (batch,) = batches if len(batches) == 1 else _combined(batches, schema)
    for start in range(0, batch.num_rows, CHUNK_ROWS):
        yield batch.slice(start, CHUNK_ROWS)


def _combined(batches: list[Any], schema: Any) -> list[Any]:
    return list(pa.Table.from_batches(batches, schema).combine_chunks().to_batches())


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
