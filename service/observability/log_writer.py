"""Log lines on their way to a descriptor: a bounded buffer, and a thread that empties it.

A pipe that nobody reads takes 64 KiB, then every write waits: logged from the event loop, that was
the end of all answers and of the stop (2026-11: 254 answers, then none). Here a line that finds the
buffer full is dropped and counted, and many lines leave in one system call.
"""

import json
import os
import threading
import time
from collections import deque

from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric

GATHER_SECONDS = 0.05
"""Time that the first line of a write waits for others."""
MAX_BYTES = 2**22
"""Bytes of lines that may wait."""
MOST_BYTES_AT_ONCE = 2**16
"""Bytes given to one system call: as many as a pipe takes."""
RETRY_SECONDS = 1.0
"""Time until the next attempt where a descriptor takes nothing without making anybody wait."""

LINES_DROPPED = Metric(
    "log_lines_dropped",
    (),
    ("lines",),
    (
        Counter(
            "foretell_log_lines_dropped_total",
            "Log lines that were not written, because nobody read them or the disk was full",
            ("lines",),
        ),
    ),
)


class LogWriter:
    """Writes lines to a descriptor in a thread. `write` never waits for whoever reads them."""

    def __init__(self, descriptor: int, max_bytes: int = MAX_BYTES) -> None:
        """Start the thread; `max_bytes` may wait for it."""
        self._descriptor, self._max_bytes = descriptor, max_bytes
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        # One thread may take it twice: asyncio logs when an object is collected, wherever that is.
        self._lock = threading.RLock()
        self._come, self._empty = threading.Event(), threading.Event()
        self._empty.set()
        self._unreported = self._uncounted = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Take a line with its end, or drop it where too many bytes wait. From any thread."""
        with self._lock:
            if self._waiting + len(line) > self._max_bytes:
                self._drop(1)
            else:
                self._lines.append(line)
                self._waiting += len(line)
            if self._empty.is_set():
                self._empty.clear()
                self._come.set()

    def flush(self, seconds: float = 1.0) -> bool:
        """Wait until every line is written, at most so long. Return False if some are not."""
        return self._empty.wait(seconds)

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was last asked."""
        with self._lock:
            count, self._uncounted = self._uncounted, 0
        return count

    def _drop(self, count: int) -> None:
        with self._lock:
            self._unreported += count
            self._uncounted += count

    def _run(self) -> None:
        while True:
            self._come.wait()
            self._come.clear()
            time.sleep(GATHER_SECONDS)
            while batch := self._take():
                self._write_all(batch)

    def _take(self) -> bytes:
        """Return lines for one system call, none once all are written."""
        with self._lock:
            batch: list[bytes] = []
            size = 0
            while self._lines and (not batch or size + len(self._lines[0]) <= MOST_BYTES_AT_ONCE):
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            if not batch and self._unreported:
                batch.append(_dropped_line(self._unreported))
                self._unreported = 0
            self._waiting -= size
            if not batch:
                self._empty.set()
        return b"".join(batch)

    def _write_all(self, batch: bytes) -> None:
        """Write a batch. What a full disk or a closed pipe refuses is dropped."""
        rest = memoryview(batch)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever gave us the descriptor does not want to wait
                time.sleep(RETRY_SECONDS)
            except OSError:
                self._drop(bytes(rest).count(b"\n"))
                time.sleep(RETRY_SECONDS)
                return


def _dropped_line(count: int) -> bytes:
    """Return the line that stands where lines are missing, in either format."""
    facts = {"event": "log lines dropped", "level": "error", "lines": count, "logger": "foretell"}
    return json.dumps(facts).encode() + b"\n"
