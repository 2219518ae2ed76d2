"""A spool between the thread that writes answers and the caller that takes them."""

import io
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import BinaryIO, cast

from service.errors import PayloadStalled, PayloadTooLarge, UnwritableSpool

IN_MEMORY = 4 * 2**20
SETTING = "FORETELL_MAX_BULK_BYTES"


class Abandoned(Exception):
    """The other side has gone; nobody is left to tell."""


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnwritableSpool(error.strerror or str(error)) from error


def kept(body: BinaryIO, folder: Path | None) -> BinaryIO:
    """Return a temporary file in `folder` with all of a body. Raises UnwritableSpool."""
    with _writing(), ExitStack() as stack:
        file = stack.enter_context(TemporaryFile(dir=folder))
        shutil.copyfileobj(body, file, 2**20)
        file.seek(0)
        stack.pop_all()
    return cast(BinaryIO, file)


class Spool(io.RawIOBase):
    """A file that one thread writes while another reads it from the front.

    The first few megabytes stay in memory, the rest goes to a file in `folder`, of `limit` bytes at
    most; when all of it has been read, it starts anew. `on_write` is called after each write.
    Where it is full, it is waited for `patience` seconds until all has been read; with no patience,
    that is an error at once.
    """

    def __init__(
        self,
        limit: int,
        folder: Path | None,
        patience: float = 0,
        on_write: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._limit, self._patience, self._on_write = limit, patience, on_write
        # Closed by `abandon`, which may be called by another thread than the one that made it.
        place = str(folder) if folder else None
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY, dir=place)  # noqa: SIM115
        self._changed = threading.Condition()
        self._read_to = self._written_to = self._total = 0
        self._abandoned = False

    @property
    def waiting(self) -> int:
        """Bytes that have not been read yet."""
        return self._written_to - self._read_to

    @property
    def abandoned(self) -> bool:
        """True once the reader has gone."""
        return self._abandoned

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the bytes written so far."""
        return self._total

    def write(self, data: object) -> int:
        """Keep some bytes. Raises PayloadTooLarge, PayloadStalled, UnwritableSpool or Abandoned."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]  # bytes, or Arrow's buffers
        with self._changed:
            if self._written_to + len(view) > self._limit:
                self._wait_for_room(len(view))
            if self._abandoned:
                raise Abandoned
            with _writing():
                if not self.waiting and self._written_to:
                    self._read_to = self._written_to = 0
                    self._file.seek(0)
                    self._file.truncate()
                self._file.seek(self._written_to)
                self._file.write(view)
                self._file.flush()  # or a disk that is full is found so by who reads
            self._written_to += len(view)
            self._total += len(view)
        self._on_write()
        return len(view)

    def _wait_for_room(self, size: int) -> None:
        if not self._patience or size > self._limit:
            raise PayloadTooLarge(self._limit, SETTING, "the answers that have to be kept are")
        if not self._changed.wait_for(lambda: self._abandoned or not self.waiting, self._patience):
            raise PayloadStalled("the answers were not all taken", self._patience)

    def take(self, most: int) -> bytes:
        """Return the next bytes, empty if there are none yet."""
        with self._changed:
            if self._abandoned:
                return b""
            with _writing():  # which is tried again before a file is read
                self._file.seek(self._read_to)
            taken = self._file.read(min(most, self.waiting))
            self._read_to += len(taken)
            self._changed.notify_all()
            return taken

    def abandon(self) -> None:
        """Nobody reads any more: drop everything, and stop who writes."""
        with self._changed:
            self._abandoned = True
            with suppress(OSError):  # what a full disk did not take is tried once more
                self._file.close()
            self._changed.notify_all()
