"""Batches of Arrow taken apart: columns that are fields, and those carried through."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.bulk.tables.allowance import out_of_memory
from service.bulk.tables.arrow_cells import NOT_PYTHONS
from service.bulk.tables.arrow_columns import TextColumn, is_text
from service.bulk.tables.chunks import Chunk, Column
from service.bulk.tables.columns import ColumnMapping, TableReading
from service.bulk.tables.measurements import SAMPLE
from service.bulk.tables.plain_columns import plain, plain_type
from service.errors import FieldProblem, InvalidPayload, UnreadableTable

MOST_BYTES = 4 * 2**20
"""Joined before rows are scored, however few: an answer is several times in memory on its way."""
ARRAY_BYTES = 200
"""Taken by an array without any cells."""
MOST_CELLS = 2**20
"""Scored at once: with hundreds of columns, fewer rows are."""
UNNAMED = "\0"
"""Begins the name of a column that has none in its table."""


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names in which those that are empty differ: Excel writes columns without any."""
    return [name or f"{UNNAMED}{place}" for place, name in enumerate(names)]


@contextmanager
def readable(form: str, detail: Callable[[Exception], str] = str) -> Iterator[None]:
    """Raises UnreadableTable with what Arrow says of a table that it cannot read."""
    try:
        yield
    except MemoryError as error:
        raise out_of_memory() from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise UnreadableTable(f"not {form}: {detail(error)[:300]}") from error


def separated(
    batches: Iterable[Any], schema: Any, reading: TableReading, column: Callable[[Any], Column]
) -> Iterator[Chunk]:
    """Yield at least one chunk, so that the columns of an empty table are known too."""
    try:
        names = list(schema.names)
        kinds = [plain_type(kind) for kind in schema.types]
    except UnicodeDecodeError as error:
        problem = FieldProblem("columns", "names in UTF-8", "other bytes in a name")
        raise InvalidPayload([problem]) from error
    if len(set(names)) < len(names):
        reading.columns_of(names)  # which refuses them, before Arrow looks columns up by name
    rows = min(reading.chunk_rows, max(1, MOST_CELLS // max(1, len(names))))
    nothing = pa.RecordBatch.from_arrays([pa.nulls(0, kind) for kind in kinds], names=names)
    sized = _of_size(plain(batches, rows, reading.allowance), nothing.schema, rows)
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


def _of_size(batches: Iterable[Any], schema: Any, rows: int) -> Iterator[Any]:
    """Yield the same rows in batches of about so many: small ones joined, large ones cut."""
    waiting: list[Any] = []
    count = size = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        size += batch.nbytes + ARRAY_BYTES * batch.num_columns
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
