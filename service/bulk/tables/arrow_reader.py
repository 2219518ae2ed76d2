"""Arrow and Parquet: tables whose columns have one name and one type from end to end."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from service.bulk.tables.arrow_columns import TypedColumn, is_text
from service.bulk.tables.arrow_messages import BoundedMessages
from service.bulk.tables.chunks import CHUNK_ROWS, Chunk
from service.bulk.tables.columns import TableReading
from service.bulk.tables.decoders.batches import Batches
from service.bulk.tables.options import TableOptions
from service.bulk.tables.plain_columns import MOST_PIECE
from service.bulk.tables.separation import MOST_CELLS, readable, separated
from service.contract.rows import RowTask
from service.errors import UnreadableTable

ARROW_MAGIC = b"ARROW1"
LARGE_GROUP = 2**25
READ_AHEAD = 2**23
"""Bytes read at once of all columns of a large row group."""
LEAST_READ_AHEAD = 2**12


def read_arrow(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC stream."""
    messages = source
    if reading.allowance.received is not None:
        messages = cast(BinaryIO, BoundedMessages(source, reading.allowance))
    with readable("an Arrow IPC stream"):
        reader = pa.ipc.open_stream(messages)
        yield from separated(_alone(reader, source), reader.schema, reading, TypedColumn)


def read_arrow_file(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC file (Feather), or of a stream with the same suffix."""
    magic = source.read(len(ARROW_MAGIC))
    source.seek(0)
    if magic != ARROW_MAGIC:
        yield from read_arrow(source, reading)
        return
    with readable("an Arrow IPC file"):
        reader = pa.ipc.open_file(source)
        batches = (reader.get_batch(place) for place in range(reader.num_record_batches))
        yield from separated(_sound(batches), reader.schema, reading, TypedColumn)


def read_parquet(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file; `source` can seek."""
    with reading.decoded(parquet_batches, source) as found:
        yield from separated(found.batches, found.schema, reading, TypedColumn)


def parquet_batches(source: BinaryIO, task: RowTask, options: TableOptions) -> Batches:
    """Return the rows of a Parquet file. Raises UnreadableTable, TableTooLarge."""
    with readable("Parquet"):
        metadata = pq.read_metadata(source)
        groups = [metadata.row_group(0)] if metadata.num_row_groups else []
        # A column of a row group lies in memory as a whole, unless some of it is read at a time.
        large = any(group.total_byte_size > LARGE_GROUP for group in groups)
        ahead = max(LEAST_READ_AHEAD, READ_AHEAD // max(1, metadata.num_columns)) if large else 0
        file = pq.ParquetFile(source, metadata=metadata, pre_buffer=False, buffer_size=ahead)
        rows = min(CHUNK_ROWS, max(1, MOST_CELLS // max(1, metadata.num_columns)))
        for group in groups:
            rows = min(rows, max(1, MOST_PIECE * group.num_rows // max(1, group.total_byte_size)))
        return Batches(file.schema_arrow, _parquet_rows(file, rows))


def _parquet_rows(file: Any, rows: int) -> Iterator[Any]:
    with readable("Parquet"):
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            for cells in batch.columns:
                if is_text(cells.type) or pa.types.is_nested(cells.type):
                    cells.validate(full=True)  # of text, Parquet's reader looks at no byte
            yield batch


def _sound(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)  # offsets that point elsewhere would crash what comes after
        yield batch


def _alone(reader: Any, source: BinaryIO) -> Iterator[Any]:
    yield from _sound(reader)
    if source.read(1):  # another stream's rows would be lost
        raise UnreadableTable("not one Arrow IPC stream: expected nothing behind its end, got more")
