"""`foretell score` for tables larger than memory: a file in, a file with answers out."""

import gzip
import os
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from service.bulk.tables.formats import BY_SUFFIX, Format
from service.bulk.tables.scoring import BulkScoring, OnError, score
from service.contract.rows import RowTask
from service.errors import InvalidRows, UnreadableTable, UnwritableTable
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import ModelLoader
from service.settings.settings import Settings
from service.tasks import TASKS

WIDTH = 30


@dataclass
class Progress:
    """A bar on a terminal, nothing elsewhere."""

    source: BinaryIO
    size: int
    rows: int = 0
    bad: int = 0
    _start: float = field(default_factory=time.perf_counter)
    _drawn: float = 0

    def add(self, rows: int, bad: int) -> None:
        """So many rows more are done."""
        self.rows += rows
        self.bad += bad
        now = time.perf_counter()
        if sys.stderr.isatty() and now - self._drawn > 0.1:
            self._drawn = now
            share = min(self.source.tell() / self.size, 1) if self.size else 1
            bar = "#" * round(share * WIDTH)
            rate = self.rows / max(now - self._start, 1e-9)
            line = f"[{bar:.<{WIDTH}}] {share:4.0%}  {self.rows:,} rows  {rate:,.0f} rows/s"
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def summary(self, served: LoadedModel, output: Path) -> str:
        """What was done, in one line."""
        seconds = time.perf_counter() - self._start
        model = f"{served.card.name}/{served.card.version}"
        bad = f", {self.bad:,} of them bad: see the column error" if self.bad else ""
        return f"{output}: {self.rows:,} rows by {model} in {seconds:.1f} s{bad}"


def score_table(
    task: RowTask,
    table: Path,
    output: Path,
    *,
    settings: Settings,
    model: str | None,
    on_error: OnError,
) -> int:
    """Score a file into another; 0 if it was written, 1 if bad rows refused it.

    `output` appears when it is complete, or not at all. Raises ForetellError.
    """
    given, wanted = format_of(table), format_of(output)
    served = load(task, settings, model)
    portfolio = BulkScoring(task, served, on_error)
    try:
        with written(output, table) as sink, opened(table) as (source, place, size):
            progress = Progress(place, size)
            try:
                _score(portfolio, given, wanted, source, sink, progress)
            finally:
                progress.clear()
    except InvalidRows as error:
        for problem in error.problems:
            print(f"foretell: {problem}", file=sys.stderr)
        noun = "problem" if error.count == 1 else "problems"
        print(f"foretell: {error.count:,} {noun}; nothing was written", file=sys.stderr)
        return 1
    print(progress.summary(served, output), file=sys.stderr)
    return 0


def _score(
    portfolio: BulkScoring,
    given: Format,
    wanted: Format,
    source: BinaryIO,
    sink: BinaryIO,
    progress: Progress,
) -> None:
    writer = wanted.write(sink, portfolio.names)
    tables = given.read(source, portfolio.task.features, portfolio.names)
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as threads:
        for scored in score(portfolio, tables, threads, ahead=2 * cores):
            writer.write(scored)
            progress.add(len(scored.bad), int(scored.bad.sum()))
    writer.close()


def load(task: RowTask, settings: Settings, model: str | None) -> LoadedModel:
    """The model that scores. Raises UnknownModel, also for one of another task."""
    return ModelLoader(settings.models_dir, TASKS, settings.device).load_for_task(task.name, model)


def format_of(file: Path) -> Format:
    """The format that a file's name tells. Raises UnreadableTable."""
    form = BY_SUFFIX.get(_suffixes(file)[0])
    if form is None:
        known = ", ".join([*BY_SUFFIX, ".csv.gz", ".ndjson.gz"])
        raise UnreadableTable(f"{file}: expected a name that ends in one of {known}")
    if form.seeks and _suffixes(file)[1]:
        raise UnreadableTable(f"{file}: {form.name} is compressed inside, not as a whole")
    return form


def _suffixes(file: Path) -> tuple[str, bool]:
    """The suffix that tells the format, and whether it is compressed besides."""
    compressed = file.suffix.lower() == ".gz"
    return Path(file.stem if compressed else file.name).suffix.lower(), compressed


@contextmanager
def opened(file: Path) -> Iterator[tuple[BinaryIO, BinaryIO, int]]:
    """What is in a file; the file itself, which knows how much of it was read; its size."""
    try:
        plain = file.open("rb")
    except OSError as error:
        raise UnreadableTable(f"{file}: {error.strerror}") from error
    with plain:
        size = os.fstat(plain.fileno()).st_size
        if not _suffixes(file)[1]:
            yield plain, plain, size
            return
        try:
            with gzip.open(plain) as content:
                yield cast(BinaryIO, content), plain, size
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnreadableTable(f"{file}: {error}") from error


@contextmanager
def written(file: Path, table: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is complete; if anything fails, nothing is left of it."""
    if file.exists() and table.exists() and file.samefile(table):
        raise UnwritableTable(f"{file}: expected another file than the table itself")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as plain:
            if _suffixes(file)[1]:
                with gzip.open(plain, "wb", compresslevel=6) as content:
                    yield cast(BinaryIO, content)
            else:
                yield plain
        part.replace(file)
    except OSError as error:
        raise UnwritableTable(f"{file}: {error.strerror or error}") from error
    finally:
        if part.exists():
            part.unlink()
