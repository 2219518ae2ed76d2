"""`foretell score` for tables larger than memory: a file in, a file with answers out."""

import gzip
import os
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from service.bulk.tables.formats import BY_SUFFIX, Format
from service.bulk.tables.job import BulkJob
from service.bulk.tables.scoring import BulkScoring, OnError
from service.contract.rows import RowTask
from service.errors import InvalidRows, UnreadableTable, UnwritableTable
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import ModelLoader
from service.settings.limits import available_cores
from service.settings.settings import Settings
from service.tasks import TASKS

WIDTH = 30


@dataclass
class Progress:
    """Progress of a job: a bar on a terminal, nothing elsewhere."""

    source: BinaryIO
    size: int
    rows: int = 0
    bad: int = 0
    _start: float = field(default_factory=time.perf_counter)
    _drawn: float = 0

    def add(self, rows: int, bad: int) -> None:
        """Count rows that are written, `bad` of them bad, and draw the bar."""
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

    def close(self) -> None:
        """Remove the bar."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def summary(self, model: LoadedModel, output: Path) -> str:
        """Return the outcome in one line."""
        seconds = time.perf_counter() - self._start
        name = f"{model.card.name}/{model.card.version}"
        scored = f"{self.rows - self.bad:,} of {self.rows:,}" if self.bad else f"{self.rows:,}"
        bad = "; the others say why in the column error" if self.bad else ""
        return f"{output}: {scored} rows scored by {name} in {seconds:.1f} s{bad}"


def score_table(
    task: RowTask,
    table: Path,
    output: Path,
    *,
    settings: Settings,
    model_name: str | None,
    on_error: OnError,
) -> int:
    """Score a file into another; 0 if rows were scored, 1 if bad rows refused it or all are bad.

    `output` appears when it is complete, or not at all. Raises ForetellError.
    """
    given, wanted = format_of(table), format_of(output)
    loader = ModelLoader(settings.models_dir, TASKS, settings.device)
    model = loader.load_for_task(task.name, model_name)
    try:
        with written(output, table) as sink, opened(table) as (source, place, size):
            progress, cores = Progress(place, size), available_cores()
            job = BulkJob(BulkScoring(task, model, on_error), given, wanted)
            with ThreadPoolExecutor(cores) as threads, closing(progress):
                job.run(source, sink, after_chunk=progress.add, threads=threads, ahead=2 * cores)
    except InvalidRows as error:
        for mistake in error.mistakes:
            print(f"foretell: {mistake}", file=sys.stderr)
        noun = "bad field" if error.count == 1 else "bad fields"
        print(f"foretell: {error.count:,} {noun}; nothing was written", file=sys.stderr)
        return 1
    print(progress.summary(model, output), file=sys.stderr)
    return 1 if progress.bad and progress.bad == progress.rows else 0


def format_of(file: Path) -> Format:
    """Return the format that a file's name tells. Raises UnreadableTable."""
    form = BY_SUFFIX.get(_suffixes(file)[0])
    if form is None:
        known = ", ".join([*BY_SUFFIX, ".csv.gz", ".ndjson.gz"])
        raise UnreadableTable(f"{file}: expected a name that ends in one of {known}")
    if form.seeks and _suffixes(file)[1]:
        raise UnreadableTable(f"{file}: {form.name} is compressed inside, not as a whole")
    return form


def _suffixes(file: Path) -> tuple[str, bool]:
    """Return the suffix that tells the format, and True for a compressed file."""
    compressed = file.suffix.lower() == ".gz"
    return Path(file.stem if compressed else file.name).suffix.lower(), compressed


@contextmanager
def opened(file: Path) -> Iterator[tuple[BinaryIO, BinaryIO, int]]:
    """Open a file; yield its content, the file itself (which tells how far it was read), its size.

    Raises UnreadableTable.
    """
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
    """Yield a file that gets its name once it is complete; after a failure nothing is left of it.

    Raises UnwritableTable.
    """
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
