"""The formats that portfolios come and go in: by content type over HTTP, by suffix on disk."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO, Protocol, cast

from service.contract import Feature
from service.portfolio.rows import Names, Rows, Scored

Read = Callable[[BinaryIO, Sequence[Feature], Names], Iterator[Rows]]


class Writer(Protocol):
    """Turns scored rows into bytes, in their order."""

    def write(self, scored: Scored) -> None:
        """Some rows more. Raises InvalidPayload if the format cannot hold their extra columns."""

    def close(self) -> None:
        """What the format ends with."""


@dataclass(frozen=True)
class Format:
    """One format: where it is read and written, imported only when it is used."""

    name: str
    media: str
    suffixes: tuple[str, ...]
    module: str
    reader: str
    writer: str
    seeks: bool = False
    """Whether its reader goes back and forth, so that a stream has to be put into a file first."""

    def read(self, source: BinaryIO, features: Sequence[Feature], answer: Names) -> Iterator[Rows]:
        """The rows of a table, at least one `Rows` of them, maybe empty.

        Raises UnreadableTable, or InvalidPayload for what is wrong with its columns.
        """
        read = cast(Read, getattr(import_module(self.module), self.reader))
        return read(source, features, answer)

    def write(self, sink: BinaryIO, answer: Names) -> Writer:
        """A writer of answers into `sink`."""
        return cast(Writer, getattr(import_module(self.module), self.writer)(sink, answer))


_OBJECTS, _TABLES = "service.portfolio.objects", "service.portfolio.tables"

JSON = Format("JSON", "application/json", (".json",), _OBJECTS, "read_json", "JsonWriter")
NDJSON = Format(
    "NDJSON",
    "application/x-ndjson",
    (".ndjson", ".jsonl"),
    _OBJECTS,
    "read_ndjson",
    "NdjsonWriter",
)
CSV = Format("CSV", "text/csv", (".csv",), _TABLES, "read_csv", "CsvWriter")
ARROW = Format(
    "Arrow stream",
    "application/vnd.apache.arrow.stream",
    (".arrows",),
    _TABLES,
    "read_arrow",
    "ArrowWriter",
)
PARQUET = Format(
    "Parquet",
    "application/vnd.apache.parquet",
    (".parquet",),
    _TABLES,
    "read_parquet",
    "ParquetWriter",
    seeks=True,
)
ARROW_FILE = Format(
    "Arrow file",
    "application/vnd.apache.arrow.file",
    (".arrow", ".feather"),
    _TABLES,
    "read_arrow_file",
    "ArrowFileWriter",
    seeks=True,
)

BY_MEDIA = {form.media: form for form in (JSON, NDJSON, CSV, ARROW, PARQUET)}
BY_SUFFIX = {suffix: form for form in (*BY_MEDIA.values(), ARROW_FILE) for suffix in form.suffixes}
