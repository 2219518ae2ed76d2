"""Columns of Arrow written out: without dictionaries, runs and views, some rows at a time.

A value of a megabyte takes four bytes more for each row that has it, until it is written out.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.bulk.tables.allowance import Allowance
from service.bulk.tables.arrow_columns import is_text
from service.errors import FieldProblem, InvalidPayload, TableTooLarge

MOST_PIECE = 8 * 2**20
"""Bytes of some rows, written out; as JSON they may be six times as many."""
LONGEST_ROW = 4 * 2**20
MOST_ITEMS = 2**19
"""Items of lists in some rows: as Python's objects they take 50 bytes."""
VIEWED = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def plain(batches: Iterable[Any], rows: int, allowance: Allowance) -> Iterator[Any]:
    """Yield the rows of batches in pieces of at most so many, every value written out.

    Raises InvalidPayload for columns that cannot be, TableTooLarge for a row that is too long.
    """
    for batch in batches:
        if not batch.num_rows:
            continue
        if not any(map(_grows, batch.schema.types)) and batch.nbytes <= MOST_PIECE:
            yield batch
            continue
        for start in range(0, batch.num_rows, rows):
            for piece in _pieces(batch.slice(start, rows)):
                allowance.take_bytes(piece.nbytes)
                yield piece


def _grows(kind: Any) -> bool:
    """Return True for cells that take more than their own bytes once they are written out."""
    packed = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return bool(packed or pa.types.is_nested(kind) or kind in VIEWED)


def _pieces(batch: Any) -> Iterator[Any]:
    size, items = 0, 0
    for cells in batch.columns:
        more, inside = _measured(cells)
        size, items = size + more, items + inside
    count = batch.num_rows
    if count == 1 and (size > LONGEST_ROW or items > MOST_ITEMS):
        most = f"at most {LONGEST_ROW:,} bytes and {MOST_ITEMS:,} items of lists"
        got = f"{size:,} and {items:,}"
        raise TableTooLarge("a row", most, got, "leave out the column that is so long")
    if count > 1 and (size > MOST_PIECE or items > MOST_ITEMS):
        yield from _pieces(batch.slice(0, count // 2))
        yield from _pieces(batch.slice(count // 2))
        return
    columns = [_written_out(cells) for cells in batch.columns]
    yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def plain_type(kind: Any) -> Any:
    """Return the type that cells have once they are written out. Raises InvalidPayload."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
        if pa.types.is_nested(kind):
            raise _not_plain(kind)
    else:
        _check_inside(kind)
    return VIEWED.get(kind, kind)


def _check_inside(kind: Any) -> None:
    """Raise InvalidPayload for what is written out without end inside of lists and structs."""
    if pa.types.is_nested(kind):
        if _is_view(kind) or pa.types.is_union(kind):
            raise _not_plain(kind)
        for place in range(kind.num_fields):
            inner = kind.field(place).type
            if pa.types.is_dictionary(inner) or inner in VIEWED:
                raise _not_plain(kind)
            _check_inside(inner)


def _is_view(kind: Any) -> bool:
    return bool(
        pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
        or pa.types.is_run_end_encoded(kind)
    )


def _not_plain(kind: Any) -> InvalidPayload:
    expected = "columns of plain values, text, or lists and structs of these"
    return InvalidPayload([FieldProblem("columns", expected, str(kind)[:80])])


def _measured(cells: Any) -> tuple[int, int]:
    """Return the bytes of cells that are written out, and the items inside of them."""
    kind = cells.type
    if pa.types.is_run_end_encoded(kind):
        sizes = _sizes(cells.values)
        if isinstance(sizes, int):
            return len(cells) * sizes, 0
        runs = pa.RunEndEncodedArray.from_arrays(cells.run_ends, sizes)
        return _sum(pc.run_end_decode(runs.slice(cells.offset, len(cells)))), 0
    if pa.types.is_dictionary(kind):
        sizes = _sizes(cells.dictionary)
        return (
            len(cells) * sizes if isinstance(sizes, int) else _sum(sizes.take(cells.indices))
        ), 0
    if kind in VIEWED:
        return _sum(_sizes(cells)), 0
    return cells.nbytes, _items(cells) if pa.types.is_nested(kind) else 0


def _sizes(values: Any) -> Any:
    """Return the bytes of each value, or of every one."""
    kind = values.type
    if kind in VIEWED:  # of which each cell begins with its length
        lengths = np.frombuffer(values.buffers()[1], np.int32)[::4].astype(np.int64)
        here = lengths[values.offset : values.offset + len(values)]
        return pa.array(here, mask=values.is_null().to_numpy(zero_copy_only=False))
    if is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.binary_length(values).cast(pa.int64())
    return 1 if pa.types.is_null(kind) else max(1, kind.bit_width // 8)


def _sum(sizes: Any) -> int:
    return pc.sum(sizes).as_py() or 0


def _items(cells: Any) -> int:
    """Return the number of values inside of lists and structs."""
    kind = cells.type
    if not pa.types.is_nested(kind):
        return len(cells)
    if pa.types.is_struct(kind):
        return sum(map(_items, cells.flatten()))
    if pa.types.is_map(kind):  # it has no flatten of its own
        cells = cells.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    return len(cells) + _items(cells.flatten())


def _written_out(cells: Any) -> Any:
    if pa.types.is_run_end_encoded(cells.type):
        cells = pc.run_end_decode(cells)
    elif pa.types.is_dictionary(cells.type):
        if wide := VIEWED.get(cells.type.value_type):  # Arrow cannot take some of those
            values = cells.dictionary.cast(wide)
            cells = pa.DictionaryArray.from_arrays(cells.indices, values)
        return cells.dictionary_decode()
    wide = VIEWED.get(cells.type)
    return cells if wide is None else cells.cast(wide)
