"""Messages of an Arrow IPC stream, looked at before Arrow takes memory for what they announce.

A message is its metadata, a flatbuffer, and a body. The metadata says how many rows and cells there
are, and each compressed buffer begins with its length unpacked: Arrow allocates what they say
(format/Message.fbs and format/Schema.fbs of apache/arrow).
"""

import io
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from service.bulk.tables.allowance import Allowance
from service.bulk.tables.columns import MOST_COLUMNS, too_many_columns
from service.errors import TableTooLarge, UnreadableTable

CONTINUED = b"\xff\xff\xff\xff"
"""Begins a message; streams of before 2019 begin with the length."""
MOST_METADATA = 8 * 2**20
MOST_BODY = 64 * 2**20
"""Bytes of one message, unpacked: it lies in memory as a whole."""
MOST_NESTED = 2**21
"""Items of lists and fields of structs in one message: as Python's objects they take 50 bytes."""
SCHEMA, DICTIONARY, ROWS = 1, 2, 3
"""Kinds of messages."""
NOT_COMPRESSED = -1


@dataclass(frozen=True)
class Table:
    """A table of a flatbuffer, in its sense: fields by their place, each of which may be absent."""

    content: memoryview
    start: int

    def place(self, field: int) -> int | None:
        """Return where a field lies. Raises struct.error for what is no flatbuffer."""
        begins = self.start - self.number("<i", self.start)
        slot = 4 + 2 * field
        if slot >= self.number("<H", begins):
            return None
        offset = self.number("<H", begins + slot)
        return self.start + offset if offset else None

    def number(self, kind: str, place: int | None) -> int:
        """Return the number at a place, 0 for an absent field."""
        if place is None:
            return 0
        if place < 0:
            raise struct.error("a place before the beginning")
        return int(struct.unpack_from(kind, self.content, place)[0])

    def scalar(self, kind: str, field: int) -> int:
        """Return the number in a field."""
        return self.number(kind, self.place(field))

    def table(self, field: int) -> "Table | None":
        """Return the table in a field."""
        place = self.place(field)
        if place is None:
            return None
        return Table(self.content, place + self.number("<I", place))

    def vector(self, field: int) -> tuple[int, int]:
        """Return where the items of a vector begin, and their number."""
        place = self.place(field)
        if place is None:
            return 0, 0
        begins = place + self.number("<I", place)
        return begins + 4, self.number("<I", begins)

    def tables(self, field: int) -> Iterator["Table"]:
        """Yield the tables in a vector."""
        begins, count = self.vector(field)
        for place in range(begins, begins + 4 * count, 4):
            yield Table(self.content, place + self.number("<I", place))

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """Yield the structs of two int64 in a vector."""
        begins, count = self.vector(field)
        yield from struct.iter_unpack("<qq", self.content[begins : begins + 16 * count])


class BoundedMessages(io.RawIOBase):
    """An Arrow IPC stream as it came; a message that would unpack to too much ends it."""

    def __init__(self, source: BinaryIO, allowance: Allowance) -> None:
        super().__init__()
        self._source, self._allowance = source, allowance
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self._columns = 0
        self._dictionaries: dict[int, int] = {}

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or fewer at the end only. Raises TableTooLarge, UnreadableTable."""
        taken: list[bytes] = []
        while size and (self._waiting or self._next()):
            piece = self._waiting.popleft()
            if 0 < size < len(piece):
                self._waiting.appendleft(piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece) if size > 0 else 0
        return taken[0] if len(taken) == 1 else b"".join(taken)  # a body, most often: not copied

    def _next(self) -> bool:
        """Read the next message and look at it; False if there is none."""
        if self._ended:
            return False
        head = self._source.read(4)
        if head == CONTINUED:
            head += self._source.read(4)
        length = int.from_bytes(head[-4:], "little", signed=True)
        if len(head) < 4 or length <= 0:  # the end, or what Arrow will find wrong
            self._waiting.append(head)
            self._ended = True
            return True
        if length > MOST_METADATA:
            raise UnreadableTable(
                f"not an Arrow IPC stream: expected at most {MOST_METADATA:,} bytes of metadata in "
                f"a message, got {length:,}"
            )
        metadata = self._source.read(length)
        body = b""
        try:
            message = Table(memoryview(metadata), int.from_bytes(metadata[:4], "little"))
            size = message.scalar("<q", 3)
            if size > 0:
                _check("bytes of a record batch", size, MOST_BODY)
                body = self._source.read(size)
            if len(metadata) == length and len(body) == size:  # else Arrow says what is missing
                self._look_at(message, memoryview(body))
        except struct.error as error:
            raise UnreadableTable("not an Arrow IPC stream: its metadata is damaged") from error
        self._waiting += (head, metadata, body)
        return True

    def _look_at(self, message: Table, body: memoryview) -> None:
        content = message.table(2)
        if content is None:
            return
        kind = message.scalar("<B", 1)
        if kind == SCHEMA:
            self._columns = message_columns(content)
        elif kind == DICTIONARY and (values := content.table(1)):
            number, is_delta = content.scalar("<q", 0), content.scalar("<B", 2)
            before = self._dictionaries.get(number, 0) if is_delta else 0
            self._dictionaries[number] = before + unpacked_bytes(values, body)
            _check("bytes of dictionaries", sum(self._dictionaries.values()), MOST_BODY)
        elif kind == ROWS:
            rows = content.scalar("<q", 0)
            cells = sum(abs(length) for length, _ in content.pairs(1))
            self._allowance.take_rows(rows, cells)  # negative ones Arrow refuses
            _check("items in lists of a record batch", cells - rows * self._columns, MOST_NESTED)
            unpacked = unpacked_bytes(content, body)
            self._allowance.take_bytes(unpacked)
            _check("bytes of a record batch", unpacked, MOST_BODY)


def message_columns(schema: Table) -> int:
    """Return the number of a schema's columns. Raises InvalidPayload for too many, also nested."""
    waiting = list(schema.tables(1))
    columns = count = len(waiting)
    while waiting:
        children = list(waiting.pop().tables(5))
        count += len(children)
        if count > MOST_COLUMNS:
            break
        waiting += children
    if count > MOST_COLUMNS:
        raise too_many_columns(count)
    return columns


def unpacked_bytes(rows: Table, body: memoryview) -> int:
    """Return the memory that Arrow takes for a message, beside its body, and the body itself."""
    if rows.table(3) is None:
        return len(body)
    total = len(body)
    for offset, length in rows.pairs(2):
        if length >= 8 and 0 <= offset <= len(body) - 8:
            (unpacked,) = struct.unpack_from("<q", body, offset)
            total += length - 8 if unpacked == NOT_COMPRESSED else max(unpacked, 0)
    return total


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        advice = "write smaller record batches, such as write_table(table, max_chunksize=16384)"
        raise TableTooLarge(what, f"at most {most:,}", f"{count:,}", advice)
