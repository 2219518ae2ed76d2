"""A process that decodes tables for the one that answers: `pool.py` starts it.

Its standard input is a socket. What is wanted is a line of JSON with the descriptor of a file; the
answer is a line of JSON, an Arrow IPC stream of batches with every value written out, and a last
line, which is the only one of a table that cannot be read. Its memory is bounded: a table that
unpacks to more costs nobody else's answer.
"""

import io
import json
import os
import resource
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, BinaryIO, cast

import pyarrow as pa

from service.bulk.tables.allowance import Allowance, most_memory, out_of_memory
from service.bulk.tables.chunks import CHUNK_ROWS
from service.bulk.tables.decoders.batches import Decode
from service.bulk.tables.options import TableOptions
from service.bulk.tables.plain_columns import plain, plain_type
from service.errors import InvalidPayload, TableTooLarge, UnreadableTable
from service.tasks import TASKS

IDLE_SECONDS = 60.0
"""Seconds without work, after which it ends: it holds some 60 MB."""
MOST_KEPT = 32 * 2**20
"""Bytes more than at its start with which it takes another table."""
LONGEST_LINE = 2**20
WRITTEN = 2**20
"""Bytes that are collected before they are sent."""


def main() -> None:
    """Decode table after table, until the other end is closed or nothing more is wanted."""
    start = _memory()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with socket.socket(fileno=0) as end, suppress(OSError):  # nobody is there any more
        kept = True
        while kept:
            end.settimeout(IDLE_SECONDS)
            line, files, _, _ = socket.recv_fds(end, LONGEST_LINE, 1)
            if not files:
                return
            end.settimeout(None)
            with os.fdopen(files[0], "rb") as source:
                limit = start + most_memory(os.fstat(files[0]).st_size)
                resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
                while not line.endswith(b"\n"):
                    line += end.recv(LONGEST_LINE)
                sink = io.BufferedWriter(cast(io.RawIOBase, end.makefile("wb", 0)), WRITTEN)
                error = _answer(json.loads(line), source, cast(BinaryIO, sink))
            kept = _memory() <= start + MOST_KEPT
            _tell(sink, {**error, "kept": kept})


def _answer(wanted: dict[str, Any], source: BinaryIO, sink: BinaryIO) -> dict[str, Any]:
    """Decode one table; return what is wrong with it, if anything is."""
    try:
        decode: Decode = resolve_name(wanted["decode"])
        task = TASKS[wanted["task"]]
        found = decode(source, task, TableOptions(**wanted["options"]))  # type: ignore[arg-type]
        fields = list(zip(found.schema.names, map(plain_type, found.schema.types), strict=True))
        schema = pa.schema(fields)
        _tell(sink, {"read_as": dict(found.read_as), "notes": list(found.notes)})
        with pa.ipc.new_stream(sink, schema) as stream, ThreadPoolExecutor(1) as thread:

            def write(batch: Any) -> None:
                stream.write_batch(batch)
                sink.flush()

            sent = None
            for batch in plain(found.batches, CHUNK_ROWS, Allowance()):
                if sent is not None:  # the next rows are decoded while these are taken
                    sent.result()
                sent = thread.submit(write, batch.cast(schema))
            if sent is not None:
                sent.result()
        return {}
    except Exception as error:
        return _wrong(error)


def _wrong(error: Exception) -> dict[str, Any]:
    """Return an error as JSON has it; of one that nobody foresaw no text, which may hold values."""
    if isinstance(error, MemoryError):
        error = out_of_memory()
    if isinstance(error, UnicodeDecodeError):
        return {"problems": [["columns", "names in UTF-8", "other bytes in a name"]]}
    if isinstance(error, InvalidPayload):
        return {"problems": [[p.field, p.expected, p.got] for p in error.problems]}
    if isinstance(error, UnreadableTable):
        return {"unreadable": str(error)}
    if isinstance(error, TableTooLarge):
        return {"too_large": error.facts}
    return {"crash": [type(error).__name__, *traceback.format_tb(error.__traceback__)]}


def _tell(sink: BinaryIO, facts: dict[str, Any]) -> None:
    sink.write(json.dumps(facts).encode() + b"\n")
    sink.flush()


def _memory() -> int:
    """Return the bytes that RLIMIT_DATA counts; 0 where nothing tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
