"""CSV, Arrow and Parquet: tables whose columns have one name and one type from end to end."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from service.bulk.tables.arrow_cells import NOT_PYTHONS, shown
from service.bulk.tables.chunks import CHUNK_ROWS, Chunk, Column, Numbers
from service.bulk.tables.columns import ColumnMapping, TableReading
from service.bulk.tables.dialect import Dialect, dialect_of
from service.bulk.tables.header import is_nothing
from service.bulk.tables.measurements import SAMPLE
from service.bulk.tables.options import DELIMITERS
from service.contract.messages import LONGEST_ECHO, echo, listed
from service.contract.tables import plain_word
from service.errors import UnreadableTable

BLOCK = 2**20
MOST_BYTES = 4 * 2**20
"""Joined before rows are scored, however few: an answer is several times in memory on its way."""
ARROW_MAGIC = b"ARROW1"
SPACES = re.compile(rb"[ \t]+")
AROUND_LINES = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)
VIEWED = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
# What is a number in text, for all formats of text alike; RE2's syntax.
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER_WITH_COMMA = NUMBER.replace(r"\.", ",")
GROUPED = {
    ".": (r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$", ","),
    ",": (r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*)?$", "."),
}
"""Numbers with a sign between thousands, by the sign of decimals, where that is certain."""
UNNAMED = "\0"
"""Begins the name of a column that has none in its table."""


@dataclass(frozen=True)
class TypedColumn:
    """A column of Arrow's types: numbers are numbers, and nothing else is but words for codes."""

    cells: Any

    def numbers(self, words: Mapping[str, float]) -> Numbers:
        """Integers, floats and decimals as float64; text and true only as a code's word."""
        cells, kind = self.cells, self.cells.type
        missing = cells.is_null().to_numpy(zero_copy_only=False) if cells.null_count else None
        if is_number(kind):
            floats = cells.cast(pa.float64(), safe=False)
            return Numbers(floats.to_numpy(zero_copy_only=False), missing)
        nothing = np.full(len(cells), np.nan)
        if words and pa.types.is_boolean(kind):
            cells = pc.if_else(cells, "true", "false")
        elif not (words and is_text(kind)):
            return Numbers(nothing, missing)
        return _worded(cells, words, nothing, missing)

    def is_worded(self) -> bool:
        """Return True if the cells are no numbers."""
        return not is_number(self.cells.type)

    def raw_value(self, row: int) -> str:
        """Return a cell as JSON writes it, for a message."""
        return shown(self.cells[row])


@dataclass(frozen=True)
class TextColumn:
    """A column of text: what reads as a number is one; in an empty cell nothing was recorded."""

    cells: Any
    decimal: str = "."
    grouped: bool = False
    """True where the sign of decimals is certain, so that the other one is between thousands."""

    def numbers(self, words: Mapping[str, float]) -> Numbers:
        """Return the cells that read as numbers, spaces around them aside, or are codes' words."""
        if self.decimal == ".":
            with suppress(pa.ArrowInvalid):
                floats = _floats(self.cells)
                missing = np.isnan(floats)  # of text, "nan" alone is one
                return Numbers(floats, missing if missing.any() else None)
        text, reads = self._read
        floats = _floats(pc.if_else(reads, text, pa.scalar(None, pa.string())))
        others = pc.unique(text.filter(pc.invert(reads))).to_pylist()
        # A declared meaning, as `none` of vessels, is not taken for nothing.
        empty = [each for each in others if is_nothing(each) and plain_word(each) not in words]
        nothing = pa.array(empty, pa.string())
        missing = pc.is_in(text, nothing).to_numpy(zero_copy_only=False)
        if not words or len(others) == len(nothing):
            return Numbers(floats, missing)
        return _worded(text, words, floats, missing)

    @cached_property
    def _read(self) -> tuple[Any, Any]:
        """The cells without spaces around them and with a decimal point; which read as numbers."""
        text = pc.utf8_trim_whitespace(self.cells)
        if self.grouped:
            pattern, sign = GROUPED[self.decimal]
            thousands = pc.match_substring_regex(text, pattern)
            text = pc.if_else(thousands, pc.replace_substring(text, sign, ""), text)
        if self.decimal == ".":
            return text, pc.match_substring_regex(text, NUMBER)
        reads = pc.match_substring_regex(text, NUMBER_WITH_COMMA)
        return pc.if_else(reads, pc.replace_substring(text, ",", "."), text), reads

    def is_worded(self) -> bool:
        """Return True if no cell reads as a number."""
        return bool(np.isnan(self.numbers({}).values).all())

    def raw_value(self, row: int) -> str:
        """Return a number without quotes, any other text in them."""
        text = self.cells[row].as_py()
        number = pc.match_substring_regex(pa.scalar(text.strip()), NUMBER).as_py()
        return text.strip()[:LONGEST_ECHO] if number else echo(text)


def _worded(cells: Any, words: Mapping[str, float], values: Any, missing: Any) -> Numbers:
    """Return numbers with the codes of those cells that are words for them."""
    told = {
        text: words[plain_word(text)]
        for text in pc.unique(cells).to_pylist()
        if text is not None and plain_word(text) in words
    }
    places = pc.index_in(cells, pa.array(list(told), cells.type))
    worded = places.is_valid().to_numpy(zero_copy_only=False)
    codes = np.array([*told.values(), 0], np.float64)
    chosen = codes[places.fill_null(len(told)).to_numpy(zero_copy_only=False)]
    return Numbers(np.where(worded, chosen, values), missing, worded)


def is_text(kind: Any) -> bool:
    """Return True if cells of this Arrow type are text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_number(kind: Any) -> bool:
    """Return True if cells of this Arrow type are numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _floats(text: Any) -> Any:
    return text.cast(pa.float64()).to_numpy(zero_copy_only=False)


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

    with _readable("CSV", lambda error: _of_csv_row(bad_rows, error, dialect)):
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
        yield from separated(reader, schema, reading, column)


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


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names in which those that are empty differ: Excel writes columns without any."""
    empty = [place for place, name in enumerate(names) if not name]
    return [f"{UNNAMED}{place}" if place in empty else name for place, name in enumerate(names)]


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


def read_arrow(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC stream."""
    with _readable("an Arrow IPC stream"):
        reader = pa.ipc.open_stream(source)
        yield from separated(_alone(reader, source), reader.schema, reading, TypedColumn)


def read_arrow_file(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC file (Feather), or of a stream with the same suffix."""
    magic = source.read(len(ARROW_MAGIC))
    source.seek(0)
    if magic != ARROW_MAGIC:
        yield from read_arrow(source, reading)
        return
    with _readable("an Arrow IPC file"):
        reader = pa.ipc.open_file(source)
        batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
        yield from separated(_sound(batches), reader.schema, reading, TypedColumn)


def read_parquet(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file; `source` can seek."""
    with _readable("Parquet"):
        file = pq.ParquetFile(source, pre_buffer=False)
        batches = file.iter_batches(batch_size=CHUNK_ROWS, use_threads=False)
        yield from separated(batches, file.schema_arrow, reading, TypedColumn)


def _sound(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)  # offsets that point elsewhere would crash what comes after
        yield batch


def _alone(reader: Any, source: BinaryIO) -> Iterator[Any]:
    yield from _sound(reader)
    if source.read(1):  # another stream's rows would be lost
        raise UnreadableTable("not one Arrow IPC stream: expected nothing behind its end, got more")


@contextmanager
def _readable(form: str, detail: Callable[[Exception], str] = str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowMemoryError, OSError) as error:
        raise UnreadableTable(f"not {form}: {detail(error)[:300]}") from error


def separated(
    batches: Iterable[Any], schema: Any, reading: TableReading, column: Callable[[Any], Column]
) -> Iterator[Chunk]:
    """Yield at least one chunk, so that the columns of an empty table are known too."""
    names = schema.names
    if len(set(names)) < len(names):
        reading.columns_of(names)  # which refuses them, before Arrow looks columns up by name
    columns = [pa.nulls(0, kind) for kind in schema.types]
    nothing = _plain(pa.RecordBatch.from_arrays(columns, schema=schema))
    sized = _of_size(map(_plain, batches), nothing.schema, reading.chunk_rows)
    first = next(sized, nothing)
    apart = Separation.of(first, reading, column)
    yield apart.chunk(first)
    for batch in sized:
        yield apart.chunk(batch)


@dataclass
class Doubts:
    """The columns that may be measurements left unread, until their first cells have told.

    `waiting` are those of which no cell has come yet, with their names in batches.
    """

    reading: TableReading
    mapping: ColumnMapping
    waiting: dict[str, str]

    def look_at(self, batch: Any) -> None:
        """Look at the columns that have cells now. Raises UnfitColumns."""
        held = {}
        for name, internal in list(self.waiting.items()):
            if cells := _sample(batch.column(internal)):
                del self.waiting[name]
                if what := self.reading.held(name, cells, self.mapping):
                    held[name] = what
        if held:
            raise self.reading.refuse_unread(held, self.mapping.absent)


@dataclass(frozen=True)
class Separation:
    """The separation of a table's batches: columns that are fields, and those carried through.

    `fields` are columns by field, `carried` columns by their names in the answer, `empty` those
    without a name or a cell. `every` column of a row without any value is of text.
    """

    fields: Mapping[str, str]
    carried: Mapping[str, str]
    empty: tuple[str, ...]
    required: str | None
    truth: str | None
    column: Callable[[Any], Column]
    doubts: Doubts

    @classmethod
    def of(cls, first: Any, reading: TableReading, column: Callable[[Any], Column]) -> "Separation":
        """Return the separation that a table's first rows ask for. Raises UnfitColumns."""
        unnamed = [name for name in first.schema.names if name.startswith(UNNAMED)]
        empty = tuple(name for name in unnamed if not _has_cells(first.column(name)))
        shown = {n: "" if n in unnamed else n for n in first.schema.names if n not in empty}
        mapping = reading.columns_of(list(shown.values()))
        if empty:
            count = len(empty)
            reading.report.notes[
                f"{count} column{'s' * (count > 1)} without a name or a value left out"
            ] = None
        names = {name: internal for internal, name in shown.items()}
        kept = names if reading.options.keep == "all" else mapping.unread
        required = [f.name for f in reading.task.features if f.required]
        return cls(
            {name: names[each] for name, each in mapping.fields.items()},
            {name: names[name] for name in kept if name in names},
            empty,
            names[mapping.fields[required[0]]] if required else None,
            names.get(reading.options.truth or UNNAMED),
            column,
            Doubts(reading, mapping, {n: names[n] for n in (*mapping.doubtful, *mapping.truths)}),
        )

    def chunk(self, batch: Any) -> Chunk:
        """Return a batch taken apart. Raises UnreadableTable, or UnfitColumns."""
        batch = self._without_empty_rows(batch)
        self.doubts.look_at(batch)
        for name in self.empty:
            if _has_cells(batch.column(name)):
                place = int(name.removeprefix(UNNAMED)) + 1
                raise UnreadableTable(
                    f"column {place} has no name and no value at first, and values further down: "
                    "give it a name"
                )
        columns = {name: self.column(batch.column(each)) for name, each in self.fields.items()}
        carried = [batch.column(each) for each in self.carried.values()]
        kinds = [batch.schema.field(each) for each in self.carried.values()]
        schema = pa.schema(
            [kind.with_name(name) for kind, name in zip(kinds, self.carried, strict=True)]
        )
        others = pa.RecordBatch.from_arrays(carried, schema=schema) if carried else batch.select([])
        others = others.replace_schema_metadata(None)
        truth = None if self.truth is None else self.column(batch.column(self.truth))
        return Chunk(batch.num_rows, columns, others, truth=truth)

    def _without_empty_rows(self, batch: Any) -> Any:
        """Return a batch of text without its rows of empty cells, which Excel leaves behind."""
        if self.required is None:
            return batch
        if not isinstance(self.column(batch.column(self.required)), TextColumn):
            return batch  # in Arrow's own types, a row is there because somebody wrote it
        cells = batch.column(self.required)
        if not _some_empty(cells):
            return batch
        blank = pc.equal(cells, "")
        for cells in batch.columns:
            if pa.types.is_string(cells.type):
                blank = pc.and_(blank, pc.fill_null(pc.equal(cells, ""), True))
            else:
                blank = pc.and_(blank, cells.is_null())
        return batch.filter(pc.invert(blank))


def _some_empty(cells: Any) -> bool:
    """Return True if some cell of a column of text is empty, by where each begins and ends."""
    if not len(cells):
        return False
    _, offsets, _ = cells.buffers()
    places = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    return bool((places[1:] == places[:-1]).any())


def _has_cells(cells: Any) -> bool:
    if pa.types.is_string(cells.type):
        return bool(pc.any(pc.not_equal(pc.utf8_trim_whitespace(cells), "")).as_py())
    return bool(cells.null_count < len(cells))


def _sample(cells: Any) -> list[Any]:
    """Return some cells that are not empty, as Python has them; of what it cannot hold, none."""
    filled = cells.drop_null()
    if is_text(cells.type):
        filled = filled.filter(pc.not_equal(filled, pa.scalar("", cells.type)))
    try:
        return list(filled.slice(0, SAMPLE).to_pylist())
    except NOT_PYTHONS:
        return []


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


def _of_size(batches: Iterable[Any], schema: Any, rows: int) -> Iterator[Any]:
    """Yield the same rows in batches of about so many: small ones joined, large ones cut."""
    waiting: list[Any] = []
    count = size = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        size += batch.nbytes
        if count >= rows or size >= MOST_BYTES:
            yield from _joined(waiting, schema, rows)
            waiting, count, size = [], 0, 0
    if count:
        yield from _joined(waiting, schema, rows)


def _joined(batches: list[Any], schema: Any, rows: int) -> Iterator[Any]:
    (batch,) = batches if len(batches) == 1 else _combined(batches, schema)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


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


class SingleSpaces(io.RawIOBase):
    """Text whose cells have spaces between them, with one space at each place."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read about `size` bytes; empty at the end only."""
        while True:
            block = self._source.read(size)
            text = self._rest + block
            end = len(text) if not block else text.rfind(b"\n") + 1
            self._rest = text[end:]
            lines = AROUND_LINES.sub(b"", SPACES.sub(b" ", text[:end]))
            if lines or not block:
                return lines
