"""The bytes of a table on their way to its reader: unpacked, and text in UTF-8."""

import codecs
import io
from typing import BinaryIO, cast

from service.bulk.tables.allowance import Allowance
from service.bulk.tables.options import TableOptions
from service.bulk.tables.report import TableReport
from service.errors import FieldProblem, InvalidPayload, UnreadableTable

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
COMPRESSIONS = {"gzip": GZIP, "zstd": ZSTD}
PEEKED = 2**20
"""Bytes that are read ahead, by which an encoding is told: a block of CSV, not copied again."""
TRANSCODED = 2**16
"""Bytes that are decoded at once."""
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks with their encodings; UTF-32's begins with UTF-16's."""
OTHER_FILES = {
    b"PAR1": "Parquet (application/vnd.apache.parquet, .parquet)",
    b"PK\x03\x04": "Excel or another zip file (.xlsx)",
    b"\xd0\xcf\x11\xe0": "Excel of before 2007 (.xls)",
    b"ARROW1": "an Arrow file (.arrow)",
    b"%PDF": "PDF",
    b"SQLite": "SQLite",
}
"""Beginnings of files that are sent for text by mistake."""


class Peeked(io.RawIOBase):
    """A stream whose first bytes, `first`, were looked at: these once more, then the rest."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._rest = source
        self.first = self._first = source.read(PEEKED)

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or fewer at the end only."""
        if not self._first:
            return self._rest.read(size)
        first, self._first = self._first, b""
        if size < 0:
            return first + self._rest.read()
        if len(first) > size:
            first, self._first = first[:size], first[size:]
        if len(first) < size:
            first += self._rest.read(size - len(first))
        return first


class Transcoded(io.RawIOBase):
    """A stream of text in one encoding, as UTF-8."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._source, self._encoding = source, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = bytearray()
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or fewer at the end only. Raises UnreadableTable."""
        while not self._ended and (size < 0 or len(self._ready) < size):
            block = self._source.read(max(size, TRANSCODED))
            self._ended = not block
            try:
                self._ready += self._decoder.decode(block, self._ended).encode()
            except UnicodeError as error:
                raise UnreadableTable(
                    f"expected text in {self._encoding}, got other bytes; encoding= says another"
                ) from error
        count = len(self._ready) if size < 0 else size
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken


def unpacked(source: BinaryIO, report: TableReport, allowance: Allowance) -> Peeked:
    """Return what a stream compressed by gzip or zstd holds, any other stream as it is."""
    whole = Peeked(source)
    for name, magic in COMPRESSIONS.items():
        if whole.first.startswith(magic):
            import pyarrow  # only a table of text that is compressed needs it for that

            report.read_as["compression"] = name
            content = _Sound(pyarrow.CompressedInputStream(whole, name), name, allowance)
            return Peeked(cast(BinaryIO, content))
    return whole


class _Sound(io.RawIOBase):
    """A compressed stream's content. Raises UnreadableTable where it is damaged or cut."""

    def __init__(self, content: BinaryIO, name: str, allowance: Allowance) -> None:
        super().__init__()
        self._content, self._name, self._allowance = content, name, allowance

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or fewer at the end only. Raises TableTooLarge."""
        try:
            content = self._content.read(size)
        except OSError as error:
            raise UnreadableTable(f"damaged or incomplete {self._name}: {error}"[:300]) from error
        self._allowance.take_bytes(len(content))
        return content


def in_utf8(source: Peeked, options: TableOptions, report: TableReport) -> BinaryIO:
    """Return text as UTF-8 without a byte order mark; the encoding is told by its first bytes.

    What is not UTF-8 there is taken for Windows-1252, of which Latin-1 is a part, and said so.
    Raises UnreadableTable for the beginning of another kind of file.
    """
    first = source.first
    for magic, name in OTHER_FILES.items():
        if first.startswith(magic):
            raise UnreadableTable(f"expected text, got {name}: send it under that type or name")
    mark = next((mark for mark in MARKS if first.startswith(mark)), b"")
    told = MARKS.get(mark) or _guessed(first)
    encoding = options.encoding or told
    if mark and options.encoding and _family(options.encoding) != _family(told):
        problem = FieldProblem("encoding", f"{told}, as the byte order mark says", encoding)
        raise InvalidPayload([problem])
    if _family(encoding) == "utf-8":
        source.read(len(codecs.BOM_UTF8) if mark else 0)
        return cast(BinaryIO, source)
    report.read_as["encoding"] = encoding
    # With a mark, the decoder that knows both orders takes it off.
    codec = told if mark else encoding
    return cast(BinaryIO, Transcoded(cast(BinaryIO, source), codec))


def _family(encoding: str) -> str:
    return codecs.lookup(encoding).name.removesuffix("-le").removesuffix("-be")


def _guessed(first: bytes) -> str:
    """Return the encoding of text without a mark, by its first bytes."""
    even, odd = first[0:512:2], first[1:512:2]
    if len(odd) >= 4:
        if odd.count(0) > 0.7 * len(odd) and not even.count(0):
            return "utf-16-le"
        if even.count(0) > 0.7 * len(even) and not odd.count(0):
            return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first, len(first) < PEEKED)
    except UnicodeError:
        return "cp1252"
    return "utf-8"
