"""`foretell score` for tables larger than memory: a file in, a file with answers out."""

import gzip
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from service.bulk.tables.formats import BY_SUFFIX, OTHER_SUFFIXES, Format
from service.bulk.tables.job import BulkJob
from service.bulk.tables.options import TableOptions
from service.bulk.tables.scoring import BulkScoring, OnError, Reasons
from service.bulk.tables.summary import evaluation_in_words, facts_in_words, tries
from service.contract.rows import RowTask
from service.errors import (
    InvalidRows,
    UnfitCoding,
    UnfitColumns,
    UnreadableTable,
    UnwritableTable,
)
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import ModelLoader
from service.settings.limits import available_cores
from service.settings.settings import Settings
from service.tasks import TASKS

WIDTH = 30
GZIP, ZSTD = ".gz", ".zst"
COMPRESSED = (GZIP, ZSTD)


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

    def summary(self, model: str, output: Path) -> str:
        """Return the outcome in one line."""
        seconds = time.perf_counter() - self._start
        scored = f"{self.rows - self.bad:,} of {self.rows:,}" if self.bad else f"{self.rows:,}"
        bad = "; the others say why in the column error" if self.bad else ""
        return f"{output}: {scored} rows scored by {model} in {seconds:.1f} s{bad}"


@dataclass(frozen=True)
class TableFiles:
    """A table and the file of its answers, with the formats that their names tell."""

    table: Path
    output: Path
    given: Format
    wanted: Format

    @classmethod
    def named(cls, table: Path, output: Path) -> "TableFiles":
        """Return the files of two paths. Raises UnreadableTable, UnwritableTable."""
        return cls(table, output, format_of(table), output_format_of(output))


def score_table(
    task: RowTask,
    files: TableFiles,
    *,
    settings: Settings,
    model_name: str | None,
    on_error: OnError,
    options: TableOptions,
    main_reasons: Callable[[RowTask, LoadedModel, int], Reasons],
) -> int:
    """Score a file into another; 0 if rows were scored, 1 if it was refused, or has no good row.

    `main_reasons` makes the function to the reasons of decisions. The output appears when it is
    complete, or not at all. Raises ForetellError.
    """
    loader = ModelLoader(settings.models_dir, TASKS, settings.device)
    model = loader.load_for_task(task.name, model_name)
    reasons = main_reasons(task, model, options.reasons) if options.reasons else None
    scoring = BulkScoring(task, model, on_error, options, reasons)
    job = BulkJob(scoring, files.given, files.wanted, settings.spool_dir)
    try:
        with (
            written(files.output, files.table) as sink,
            opened(files.table) as (source, size),
        ):
            progress, cores = Progress(source, size), available_cores()
            with ThreadPoolExecutor(cores) as threads, closing(progress):
                job.run(source, sink, after_chunk=progress.add, threads=threads, ahead=2 * cores)
    except (UnfitColumns, UnfitCoding) as error:
        print(f"foretell: {error}", file=sys.stderr)
        if error.suggestions:
            print(f"foretell: try {tries(error.suggestions)}", file=sys.stderr)
        return 1
    except InvalidRows as error:
        for mistake in error.mistakes:
            print(f"foretell: {mistake}", file=sys.stderr)
        noun = "bad field" if error.count == 1 else "bad fields"
        print(f"foretell: {error.count:,} {noun}; nothing was written", file=sys.stderr)
        return 1
    name = f"{model.card.name}/{model.card.version}"
    return _told(progress, name, files.output, job.report.facts())


def score_by_service(
    url: str, task: str, files: TableFiles, options: Sequence[tuple[str, str]]
) -> int:
    """Have a service score a file into another; as `score_table`. Raises ForetellError."""
    from service.bulk.tables.remote import score_remotely  # loads httpx

    with (
        written(files.output, files.table) as sink,
        opened(files.table) as (source, size),
        closing(progress := Progress(source, size)),
    ):
        answer = score_remotely(url, task, source, sink, files.given, files.wanted, options)
    if "rows" not in answer.facts:  # formats with an end of their own carry no count
        lines = [
            *facts_in_words(answer.facts),
            f"{files.output}: the whole answer of {answer.model}",
        ]
        print("\n".join(lines), file=sys.stderr)
        return 0
    progress.rows, progress.bad = answer.facts["rows"], answer.facts["bad"]
    return _told(progress, answer.model, files.output, answer.facts)


def _told(progress: Progress, model: str, output: Path, facts: Mapping[str, Any]) -> int:
    """Print what was made of a table and what came of it; return the exit status."""
    evaluation = facts.get("evaluation")
    for line in (
        *facts_in_words(facts),
        progress.summary(model, output),
        *(evaluation_in_words(evaluation) if evaluation else ()),
    ):
        print(line, file=sys.stderr)
    return 1 if progress.bad == progress.rows else 0


def format_of(table: Path) -> Format:
    """Return the format of a table that its name tells. Raises UnreadableTable."""
    suffix, compressed = _suffixes(table)
    form = BY_SUFFIX.get(suffix) or OTHER_SUFFIXES.get(suffix)
    if form is None:
        known = ", ".join([*BY_SUFFIX, *OTHER_SUFFIXES, ".csv.gz", ".ndjson.zst"])
        raise UnreadableTable(f"{table}: expected a name that ends in one of {known}")
    if compressed and not form.text:
        raise UnreadableTable(f"{table}: {form.name} is compressed inside, not as a whole")
    return form


def output_format_of(output: Path) -> Format:
    """Return the format of the answers that a file's name tells. Raises UnwritableTable."""
    suffix, compressed = _suffixes(output)
    form = BY_SUFFIX.get(suffix)
    if form is None or output.suffix.lower() == ZSTD:
        known = ", ".join([*BY_SUFFIX, ".csv.gz", ".ndjson.gz"])
        raise UnwritableTable(f"{output}: expected a name that ends in one of {known}")
    if compressed and not form.text:
        raise UnwritableTable(f"{output}: {form.name} is compressed inside, not as a whole")
    return form


def _suffixes(file: Path) -> tuple[str, bool]:
    """Return the suffix that tells the format, and True for a compressed file."""
    compressed = file.suffix.lower() in COMPRESSED
    return Path(file.stem if compressed else file.name).suffix.lower(), compressed


@contextmanager
def opened(file: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file; yield it, and its size in bytes.

    Raises UnreadableTable.
    """
    try:
        plain = file.open("rb")
    except OSError as error:
        raise UnreadableTable(f"{file}: {error.strerror}") from error
    with plain:
        yield plain, os.fstat(plain.fileno()).st_size


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
