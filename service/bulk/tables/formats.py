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
    """True if its bytes are text, which may be compressed and in any encoding."""
    cut_line: str | None = None
    """Begins the line behind an answer that was cut off, by which its readers fail; None where the
    format has an end of its own."""

    def cut_off(self, reason: str) -> bytes:
        """Return the last line of an answer that was cut off for a reason."""
        if self.cut_line is None:
            return b""
        why = " ".join(reason.split())
        return f"{self.cut_line}cut off, the rest was not scored: {why}\n".encode()

    def read(self, source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
        """Yield the rows of a table as at least one `Chunk`, which may be empty.

        Text may be compressed, and in another encoding than UTF-8. Raises UnreadableTable, or
        UnfitColumns for what is wrong with its columns.
        """
        if self.text:
            content = unpacked(source, reading.report, reading.allowance)
            source = in_utf8(content, reading.options, reading.report)
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
    cut_line="\n",
)
NDJSON = Format(
    "NDJSON",
    "application/x-ndjson",
    (".ndjson", ".jsonl"),
    "json_reader.read_ndjson",
    "json_writer.NdjsonWriter",
    text=True,
    cut_line="\n",
)
CSV = Format(
    "CSV",
    "text/csv",
    (".csv", ".txt", ".dat", ".data"),
    "csv_reader.read_csv",
    "arrow_writer.CsvWriter",
    text=True,
    cut_line='"',
)
TSV = Format(
    "TSV",
    "text/tab-separated-values",
    (".tsv", ".tab"),
    "csv_reader.read_csv",
    "arrow_writer.TsvWriter",
    text=True,
    cut_line='"',
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
EXCEL = Format(
    "Excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    (".xlsx",),
    "excel_reader.read_excel",
    "excel_writer.ExcelWriter",
    seeks=True,
)

BY_MEDIA = {form.media: form for form in (JSON, NDJSON, CSV, TSV, ARROW, PARQUET, EXCEL)}
"""The formats of HTTP, both ways."""
OTHER_MEDIA = {
    "application/vnd.ms-excel": EXCEL,
    "application/vnd.ms-excel.sheet.macroenabled.12": EXCEL,
    "application/vnd.oasis.opendocument.spreadsheet": EXCEL,
}
"""Types of bodies that are read as one of these."""
BY_SUFFIX = {suffix: form for form in (*BY_MEDIA.values(), ARROW_FILE) for suffix in form.suffixes}
"""The formats of files, both ways."""
OTHER_SUFFIXES = {".xls": EXCEL, ".xlsm": EXCEL, ".xlsb": EXCEL, ".ods": EXCEL}
"""Suffixes of files that are read as one of these."""
