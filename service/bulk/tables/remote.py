"""`foretell score --url`: a file to a running service, and its answer, whole, to a file."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import unquote

import httpx

from service.bulk.tables.formats import CSV, EXCEL, JSON, NDJSON, PARQUET, TSV, Format
from service.bulk.tables.summary import tries
from service.errors import CutOff, RemoteError

BLOCK = 2**20
LONGEST_END = 2**22
"""Bytes that are held back, among which the record of the end is looked for."""
SECONDS = 300.0
"""For a service that takes its time over a held-back answer; no byte for so long is an error."""
ARROW_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
ENDS = {JSON: b"]", PARQUET: b"PAR1", EXCEL: b""}


@dataclass
class RemoteAnswer:
    """The answer of a service to one table: its model, and what it made of the table."""

    model: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] | None = None


def score_remotely(
    url: str,
    task: str,
    source: BinaryIO,
    sink: BinaryIO,
    given: Format,
    wanted: Format,
    options: Sequence[tuple[str, str]],
) -> RemoteAnswer:
    """Send a table to the service at `url` and write its whole answer into `sink`.

    `options` are query parameters. Raises RemoteError where the service refuses or cannot be
    reached, CutOff where the answer ends too early.
    """
    ends = wanted in (CSV, TSV, NDJSON)
    query: Any = [*options, *([("end", "count")] if ends else [])]
    path = f"{url.rstrip('/')}/v1/{task}/predict/batch"
    headers = {"Content-Type": given.media, "Accept": wanted.media}
    try:
        with httpx.stream(
            "POST",
            path,
            params=query,
            headers=headers,
            content=_blocks(source),
            timeout=SECONDS,
        ) as answer:
            if answer.status_code != 200:
                answer.read()
                raise RemoteError(_refusal(answer))
            tail = _written(answer, sink)
            return _ended(answer, wanted, tail, sink)
    except httpx.RemoteProtocolError as error:
        raise CutOff(f"the connection ended before the answer did ({error})") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RemoteError(f"{path}: {error or type(error).__name__}") from error


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block


def _refusal(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        detail = problem["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the service answered {answer.status_code}: {answer.text[:200]}"
    suggested = problem.get("suggestions")
    return f"{detail}" + (f"\nforetell: try {tries(suggested)}" if suggested else "")


def _written(answer: httpx.Response, sink: BinaryIO) -> bytes:
    """Write an answer but for its last bytes, which are returned."""
    tail = b""
    for block in answer.iter_bytes(BLOCK):
        tail += block
        if len(tail) > 2 * LONGEST_END:
            sink.write(tail[:-LONGEST_END])
            tail = tail[-LONGEST_END:]
    return tail


def _ended(answer: httpx.Response, wanted: Format, tail: bytes, sink: BinaryIO) -> RemoteAnswer:
    """Check the end of an answer and write it, without its record. Raises CutOff."""
    found = RemoteAnswer(model=answer.headers.get("x-model", ""))
    if wanted is NDJSON:
        rows, _, last = tail.rstrip(b"\n").rpartition(b"\n")
        try:
            found.facts = json.loads(last)["end"]
        except (ValueError, KeyError, TypeError):
            raise CutOff(_last_line(tail)) from None
        found.evaluation = found.facts.get("evaluation")
        sink.write(rows + b"\n" if rows else b"")
        return found
    if wanted in (CSV, TSV):
        rows, mark, last = tail.rpartition(b"# rows=")
        if not (mark and (not rows or rows.endswith(b"\n")) and last.endswith(b"\n")):
            raise CutOff(_last_line(tail))
        counts = dict(part.split("=") for part in f"rows={last.decode()}".split())
        found.facts = {name: int(number) for name, number in counts.items()}
        sink.write(rows)
    else:
        end = ENDS.get(wanted, ARROW_END)
        if not tail.endswith(end):
            raise CutOff(_last_line(tail) if wanted is JSON else f"{wanted.name} without its end")
        sink.write(tail)
    found.facts |= _facts_of(answer.headers)
    return found


def _last_line(tail: bytes) -> str:
    last = tail.rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace").lstrip('"')
    return last[:500] if last.startswith("cut off") else "it has no end"


def _facts_of(headers: httpx.Headers) -> dict[str, Any]:
    """Return what the headers say was made of the table."""

    def values(name: str) -> list[str]:
        return [each for each in headers.get(name, "").split(", ") if each]

    def pairs(name: str) -> dict[str, str]:
        return {
            unquote(left): unquote(right)
            for left, _, right in (each.partition("=") for each in values(name))
        }

    return {
        "coding": headers.get("x-coding", ""),
        "mapped_columns": pairs("x-mapped-columns"),
        "unread_columns": [unquote(name) for name in values("x-unread-columns")],
        "not_recorded": values("x-not-recorded"),
        "read_as": pairs("x-read-as"),
        "notes": [unquote(note) for note in values("x-notes")],
    }
