"""Arrow and Parquet: tables whose columns have one name and one type from end to end."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from service.bulk.tables.arrow_columns import TypedColumn
from service.bulk.tables.chunks import CHUNK_ROWS, Chunk
from service.bulk.tables.columns import TableReading
from service.bulk.tables.separation import readable, separated
from service.errors import UnreadableTable

ARROW_MAGIC = b"ARROW1"


def read_arrow(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of an Arrow IPC stream."""
    with readable("an Arrow IPC stream"):
        reader = pa.ipc.open_stream(source)
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
    with readable("Parquet"):
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
