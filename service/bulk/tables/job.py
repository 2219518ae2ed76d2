"""A bulk job: a table is read from a source, scored by a loaded model and written to a sink.

HTTP, `foretell score` and whatever comes next run the same job; where bytes come from and go to is
theirs to say.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from service.bulk.tables.allowance import Allowance
from service.bulk.tables.chunks import Chunk
from service.bulk.tables.columns import TableReading
from service.bulk.tables.decoders.pool import TableDecoders
from service.bulk.tables.formats import Format
from service.bulk.tables.report import TableReport
from service.bulk.tables.scoring import BulkScoring, score
from service.bulk.tables.spool import kept
from service.errors import TooManyJobs
from service.observability.metrics.families import Counter, Gauge
from service.observability.metrics.shared_counters import Metric, SharedCounters

BULK_ROWS = Metric(
    "bulk_rows",
    ("model", "version"),
    ("scored", "refused"),
    (
        Counter(
            "foretell_bulk_rows_total",
            "Rows of bulk jobs that were answered to their end",
            ("scored", "refused"),
            by="result",
        ),
    ),
)
BULK_JOBS = Metric(
    "bulk_jobs",
    (),
    ("in_progress",),
    (Gauge("foretell_bulk_jobs_in_progress", "Bulk jobs in progress", ("in_progress",)),),
)


@dataclass(frozen=True)
class BulkJob:
    """A table in one format, to be answered in another, by one model.

    `spool_dir` is the folder for a copy of a source that has to be read back and forth (Parquet)
    and cannot be; None: the system's for temporary files. With `decoders` the table is a
    stranger's, and what it may unpack to depends on the bytes that come.
    """

    scoring: BulkScoring
    given: Format
    wanted: Format
    spool_dir: Path | None = None
    decoders: TableDecoders | None = None
    report: TableReport = field(init=False)
    """The facts about the table, as far as it was read."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "report", self.scoring.new_report())

    def run(
        self,
        source: BinaryIO,
        sink: BinaryIO,
        *,
        before_chunk: Callable[[], None] = lambda: None,
        after_chunk: Callable[[int, int], None] = lambda rows, bad: None,
        threads: Executor | None = None,
        ahead: int = 1,
    ) -> tuple[int, int]:
        """Read, score and write everything; return the number of rows scored and of bad ones.

        `before_chunk` may raise to end the job; `after_chunk` is told the rows written and how many
        of them are bad. With `threads`, `ahead` chunks are scored at once. Raises ForetellError.
        """
        if self.given.seeks and not source.seekable():
            with kept(source, self.spool_dir) as file:
                size = os.fstat(file.fileno()).st_size
                return self._run(
                    file, lambda: size, sink, before_chunk, after_chunk, threads, ahead
                )
        return self._run(source, source.tell, sink, before_chunk, after_chunk, threads, ahead)

    def _run(
        self,
        source: BinaryIO,
        received: Callable[[], int],
        sink: BinaryIO,
        before_chunk: Callable[[], None],
        after_chunk: Callable[[int, int], None],
        threads: Executor | None,
        ahead: int,
    ) -> tuple[int, int]:
        scoring, report = self.scoring, self.report
        reading = TableReading(
            scoring.task,
            scoring.columns,
            scoring.options,
            report,
            self.spool_dir,
            Allowance(received if self.decoders else None, len(scoring.task.features)),
            self.decoders,
        )
        writer = self.wanted.write(sink, reading)

        def chunks() -> Iterator[Chunk]:
            for chunk in self.given.read(source, reading):
                before_chunk()
                yield chunk

        for scored in score(scoring, chunks(), report, threads, ahead):
            writer.write(scored)
            after_chunk(len(scored.bad), int(scored.bad.sum()))
        writer.close()
        return report.rows - report.bad, report.bad


@dataclass
class JobSlots:
    """The bulk jobs of one process at once, at most `limit`, each on a thread of its own."""

    limit: int
    counters: SharedCounters
    decoders: TableDecoders = field(default_factory=TableDecoders)
    _taken: int = 0
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.limit, "bulk")
        self._change(0)  # a worker that had this slot before may have died with jobs in progress

    def start(self, work: Callable[[], None]) -> "asyncio.Future[None]":
        """Start a job on a thread. Raises TooManyJobs if `limit` of them are in progress."""
        if self._taken >= self.limit:
            raise TooManyJobs(self.limit)
        self._change(1)
        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        working.add_done_callback(lambda _: self._change(-1))
        return working

    def close(self) -> None:
        """End the threads once their jobs have ended, then the processes."""
        self._threads.shutdown(wait=True)
        self.decoders.close()

    def _change(self, by: int) -> None:
        self._taken += by
        self.counters.series(BULK_JOBS).values[0] = self._taken
