"""The formats of tables: by content type over HTTP, by suffix on disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, Protocol, cast

from service.bulk.tables.chunks import Chunk, ScoredChunk
from service.bulk.tables.columns import TableReading
from service.bulk.tables.source import in_utf8, unpacked

Read = Callable[[BinaryIO, TableReading], Iterator[Chunk]]


class Writer(Protocol):
    """Turns scored rows into bytes, in their order."""

    def write(self, scored: ScoredChunk) -> None:
        """Write a chunk. Raises InvalidPayload for columns that the format cannot hold."""

    def close(self) -> None:
        """Write the end of the format."""


@dataclass(frozen=True)
class Format:
    """One format: where it is read and written, imported only when it is used."""

    name: str
    media: str
    suffixes: tuple[str, ...]
    reader: str
    writer: str
    seeks: bool = False
    """True if its reader goes back and forth, so that a stream has to be put into a file first."""
    text: bool = False

    def read(self, source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
        """Yield the rows of a table as at least one `Chunk`, which may be empty.

        Text may be compressed, and in another encoding than UTF-8. Raises UnreadableTable, or
        UnfitColumns for what is wrong with its columns.
        """
        if self.text:
            source = unpacked(source, reading.report)
            source = in_utf8(source, reading.options, reading.report)
        return cast(Read, _imported(self.reader))(source, reading)

    def write(self, sink: BinaryIO, reading: TableReading) -> Writer:
        """Return a writer of answers into `sink`, for a table that is read in some way."""
        return cast(Writer, _imported(self.writer)(sink, reading))


def _imported(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(f"service.bulk.tables.{module}"), name)
    return found


JSON = Format(
    "JSON",
    "application/json",
    (".json",),
    "json_reader.read_json",
    "json_writer.JsonWriter",
    text=True,
)
NDJSON = Format(
    "NDJSON",
    "application/x-ndjson",
    (".ndjson", ".jsonl"),
    "json_reader.read_ndjson",
    "json_writer.NdjsonWriter",
    text=True,
)
CSV = Format(
    "CSV", "text/csv", (".csv",), "arrow_reader.read_csv", "arrow_writer.CsvWriter", text=True
)
ARROW = Format(
    "Arrow stream",
    "application/vnd.apache.arrow.stream",
    (".arrows",),
    "arrow_reader.read_arrow",
    "arrow_writer.ArrowWriter",
)
PARQUET = Format(
    "Parquet",
    "application/vnd.apache.parquet",
    (".parquet",),
    "arrow_reader.read_parquet",
    "arrow_writer.ParquetWriter",
    seeks=True,
)
ARROW_FILE = Format(
    "Arrow file",
    "application/vnd.apache.arrow.file",
    (".arrow", ".feather"),
    "arrow_reader.read_arrow_file",
    "arrow_writer.ArrowFileWriter",
    seeks=True,
)

BY_MEDIA = {form.media: form for form in (JSON, NDJSON, CSV, ARROW, PARQUET)}
BY_SUFFIX = {suffix: form for form in (*BY_MEDIA.values(), ARROW_FILE) for suffix in form.suffixes}
