"""One bulk job, from the format that a table comes in to the one that it is answered in."""

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from service.bulk.tables.chunks import Chunk
from service.bulk.tables.formats import Format
from service.bulk.tables.scoring import BulkScoring, score
from service.bulk.tables.spool import Abandoned, Spool, kept
from service.errors import TooManyJobs
from service.observability.metrics.families import Counter, Gauge
from service.observability.metrics.shared_counters import Metric, SharedCounters
from service.settings.settings import Settings


@dataclass
class JobSlots:
    """The portfolios that one process scores at once, each in a thread."""

    limit: int
    counters: SharedCounters
    _taken: int = 0
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.limit, "portfolio")
        self._change(0)  # a worker here before may have died with some under way

    def start(
        self, exchange: "BulkJob", inflow: io.RawIOBase, spool: Spool
    ) -> "asyncio.Future[None]":
        """Work on a portfolio. Raises TooManyJobs if there are as many already."""
        if self._taken >= self.limit:
            raise TooManyJobs(self.limit)
        self._change(1)
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, exchange.work, inflow, spool)
        working.add_done_callback(self._done)
        return working

    def _done(self, _: object) -> None:
        self._change(-1)

    def _change(self, by: int) -> None:
        self._taken += by
        self.counters.series(BULK_JOBS).values[0] = self._taken


@dataclass(frozen=True)
class BulkJob:
    """One portfolio, from the format that it comes in to the one that it is answered in."""

    portfolio: BulkScoring
    given: Format
    wanted: Format
    settings: Settings
    counters: SharedCounters

    def work(self, body: io.RawIOBase, answer: Spool) -> None:
        """Read, score and write it all; in a thread."""
        if self.given.seeks:
            with kept(body, self.settings.spool_dir) as file:
                self._answer(file, answer)
        else:
            self._answer(cast(BinaryIO, body), answer)

    def _answer(self, source: BinaryIO, answer: Spool) -> None:
        names = self.portfolio.names
        # Formats write many small pieces.
        sink = io.BufferedWriter(answer, 2**20)
        writer = self.wanted.write(cast(BinaryIO, sink), names)
        tables = self.given.read(source, self.portfolio.task.features, names)
        good = bad = 0
        for scored in score(self.portfolio, _while_wanted(tables, answer)):
            writer.write(scored)
            sink.flush()
            unscored = int(scored.bad.sum())
            good, bad = good + len(scored.bad) - unscored, bad + unscored
        writer.close()
        sink.flush()
        card = self.portfolio.served.card
        self.counters.series(BULK_ROWS, card.name, card.version).add(good, bad)


def _while_wanted(tables: Iterator[Chunk], answer: Spool) -> Iterator[Chunk]:
    for rows in tables:
        if answer.abandoned:
            raise Abandoned
        yield rows


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
