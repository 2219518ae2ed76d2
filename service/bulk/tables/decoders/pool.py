"""Decoding tables in processes of their own.

Parquet and workbooks are packed in so many ways that nothing tells beforehand what they unpack to;
an allocation that fails ends a reader of workbooks, with all that is in its process.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from service.bulk.tables.allowance import out_of_memory
from service.bulk.tables.decoders.batches import Batches, Decode
from service.bulk.tables.options import TableOptions
from service.contract.rows import RowTask
from service.errors import (
    DecodersUnavailable,
    FieldProblem,
    InvalidPayload,
    TableTooLarge,
    UnreadableTable,
)

PATIENCE_SECONDS = 30.0
"""Seconds for which a process may send nothing."""
LONGEST_LINE = 2**24
ENVIRONMENT = {
    # One that takes no more of the system than is asked of it.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**25),
    "MALLOC_MMAP_THRESHOLD_": str(2**22),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
INHERITED = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")
"""Variables that it gets too; none of the service's, one of which is a key."""
TOLD = ("header", "sheet")
"""The options that a decoder needs."""


@dataclass(eq=False)
class DecoderProcess:
    """A process that decodes one table at a time, and our end of its standard input."""

    process: "subprocess.Popen[bytes]"
    end: socket.socket

    @classmethod
    def started(cls) -> "DecoderProcess":
        """Start one. Raises DecodersUnavailable."""
        # -P: what lies in the working directory is none of its modules.
        code = "from service.bulk.tables.decoders.decoder_process import main; main()"
        command = [sys.executable, "-P", "-W", "ignore", "-c", code]
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        found = os.pathsep.join(path for path in sys.path if path)
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE_SECONDS)
        try:
            with theirs:
                process = subprocess.Popen(
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=inherited | ENVIRONMENT | {"PYTHONPATH": found},
                    start_new_session=True,  # Ctrl-C is for the service, which ends it
                )
        except OSError as error:
            ours.close()
            raise DecodersUnavailable(f"no process that reads tables starts: {error}") from error
        return cls(process, ours)

    def ask(self, decode: Decode, file: BinaryIO, task: RowTask, options: TableOptions) -> None:
        """Send what is wanted."""
        wanted = {
            "decode": f"{decode.__module__}:{decode.__name__}",
            "task": task.name,
            "options": {name: value for name, value in asdict(options).items() if name in TOLD},
        }
        line = json.dumps(wanted).encode() + b"\n"
        with _alive():
            sent = socket.send_fds(self.end, [line], [file.fileno()])
            self.end.sendall(line[sent:])

    def is_waiting(self) -> bool:
        """Return False once it has ended of idleness."""
        return not select.select([self.end], [], [], 0)[0]

    def close(self) -> None:
        """End it at once."""
        self.end.close()
        self.process.kill()
        self.process.wait()


@dataclass
class TableDecoders:
    """The processes that decode tables, started when they are needed; for use by any thread."""

    _idle: list[DecoderProcess] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def decoded(
        self, decode: Decode, file: BinaryIO, task: RowTask, options: TableOptions
    ) -> Iterator[Batches]:
        """Yield what a function makes of a file, in another process.

        Raises UnreadableTable, InvalidPayload, TableTooLarge, DecodersUnavailable.
        """
        decoder = self._taken() or DecoderProcess.started()
        kept: list[bool] = []
        try:
            decoder.ask(decode, file, task, options)
            with decoder.end.makefile("rb") as answer:
                yield _batches(answer, kept)
        finally:
            if any(kept):
                with self._lock:
                    self._idle.append(decoder)
            else:
                decoder.close()

    def _taken(self) -> DecoderProcess | None:
        """Return a process that waits for work."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                decoder = self._idle.pop()
            if decoder.is_waiting():
                return decoder
            decoder.close()

    def close(self) -> None:
        """End the processes. To be called when no table is read any more."""
        with self._lock:
            for decoder in self._idle:
                decoder.close()
            self._idle.clear()


def _batches(answer: BinaryIO, kept: list[bool]) -> Batches:
    """Return the batches of an answer; `kept` is told if its process can decode another table."""
    import pyarrow  # which the service loads with the first table

    first = _line(answer, kept)
    with _alive():
        stream = pyarrow.ipc.open_stream(answer)

    def rows() -> Iterator[Any]:
        while True:
            try:
                with _alive():
                    batch = stream.read_next_batch()
            except StopIteration:
                break
            yield batch
        _line(answer, kept)

    return Batches(stream.schema, rows(), first["read_as"], first["notes"])


@contextmanager
def _alive() -> Iterator[None]:
    """Raise TableTooLarge where a process has ended, or takes too long."""
    try:
        yield
    except TimeoutError as error:
        most = f"at most {PATIENCE_SECONDS:g} s"
        advice = "send it as CSV"
        raise TableTooLarge("time to unpack some of its rows", most, "more", advice) from error
    except (OSError, EOFError, ValueError) as error:  # Arrow's errors are among them
        raise out_of_memory() from error


def _line(answer: BinaryIO, kept: list[bool]) -> dict[str, Any]:
    """Return what a process tells. Raises the error that it tells, or TableTooLarge."""
    with _alive():
        line = answer.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise EOFError
        told: dict[str, Any] = json.loads(line)
    kept.append(bool(told.get("kept")))
    if problems := told.get("problems"):
        raise InvalidPayload([FieldProblem(*problem) for problem in problems])
    if reason := told.get("unreadable"):
        raise UnreadableTable(reason)
    if facts := told.get("too_large"):
        raise TableTooLarge(*facts)
    if crash := told.get("crash"):
        raise RuntimeError("the decoder of tables crashed: " + "".join(crash))
    return told
