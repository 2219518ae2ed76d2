"""Whole portfolios by HTTP: a table in, the same rows with answers out."""

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, BinaryIO, cast, get_args

import numpy as np
import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.types import Receive, Scope, Send

from service.api.http.negotiation import given_format, wanted_format
from service.api.http.problems import echo
from service.api.http.selection import (
    LabelChoice,
    ModelChoice,
    VersionChoice,
    chosen_model,
    request_id,
)
from service.api.http.streaming import Inflow
from service.bulk.tables.chunks import Rows
from service.bulk.tables.counts import PORTFOLIO_ROWS, PORTFOLIOS
from service.bulk.tables.formats import BY_MEDIA, JSON, Format
from service.bulk.tables.scoring import OnError, Portfolio, score
from service.bulk.tables.spool import SETTING, Abandoned, Spool, kept
from service.contract.task import TabularTask
from service.errors import (
    FieldProblem,
    ForetellError,
    InvalidPayload,
    NoPlace,
    PayloadTooLarge,
)
from service.models.versions.registry import Repository
from service.observability.metrics.shared_counters import Board
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

PIECE = 2**18
PATIENCE = 60.0
"""Seconds for which a caller may neither send nor take anything."""


@dataclass
class Places:
    """The portfolios that one process scores at once, each in a thread."""

    limit: int
    board: Board
    _taken: int = 0
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.limit, "portfolio")
        self._change(0)  # a worker here before may have died with some under way

    def start(self, exchange: "Exchange", inflow: Inflow, spool: Spool) -> "asyncio.Future[None]":
        """Work on a portfolio. Raises NoPlace if there are as many already."""
        if self._taken >= self.limit:
            raise NoPlace(self.limit)
        self._change(1)
        loop = asyncio.get_running_loop()
        working = loop.run_in_executor(self._threads, exchange.work, inflow, spool)
        working.add_done_callback(self._done)
        return working

    def _done(self, _: object) -> None:
        self._change(-1)

    def _change(self, by: int) -> None:
        self._taken += by
        self.board.row(PORTFOLIOS).values[0] = self._taken


@dataclass(frozen=True)
class Exchange:
    """One portfolio, from the format that it comes in to the one that it is answered in."""

    portfolio: Portfolio
    given: Format
    wanted: Format
    settings: Settings
    board: Board

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
            unscored = int(np.isnan(scored.probability).sum())
            good, bad = good + len(scored.probability) - unscored, bad + unscored
        writer.close()
        sink.flush()
        card = self.portfolio.served.card
        self.board.row(PORTFOLIO_ROWS, card.name, card.version).add(good, bad)


def _while_wanted(tables: Iterator[Rows], answer: Spool) -> Iterator[Rows]:
    for rows in tables:
        if answer.abandoned:
            raise Abandoned
        yield rows


class PortfolioResponse(Response):
    """Takes the body in and gives the answer out at the same time, each as fast as the other side.

    Where bad rows refuse the portfolio, its answers are kept until the last row was found good: a
    status is sent once; and so they are for HTTP/1.0, which needs their length. Otherwise they
    leave as they are made, and if something breaks then (a body cut short, say) the connection is
    cut, so that nobody takes a part of an answer for all of it.
    """

    def __init__(self, exchange: Exchange, places: Places) -> None:
        self.exchange, self.places = exchange, places
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ForetellError as long as nothing was sent."""
        settings = self.exchange.settings
        # HTTP/1.0 knows no chunks: without a length, a cut answer would look like a whole one.
        chunked = scope["http_version"] != "1.0"
        holds_back = self.exchange.portfolio.on_error == "refuse" or not chunked
        written = asyncio.Event()
        loop = asyncio.get_running_loop()
        spool = Spool(
            settings.max_bulk_bytes,
            settings.spool_dir,
            patience=0 if holds_back else PATIENCE,
            on_write=lambda: _wake(loop, written),
        )
        inflow = Inflow(settings.max_bulk_bytes, PATIENCE, spool)
        try:
            working = self.places.start(self.exchange, inflow, spool)
        except NoPlace:
            spool.abandon()
            raise
        working.add_done_callback(lambda _: written.set())
        filling = asyncio.create_task(inflow.fill(receive))
        outflow = _Outflow(send, self._facts())
        try:
            if holds_back:
                await working
                outflow.headers.append((b"content-length", b"%d" % spool.waiting))
            await _send_all(spool, working, written, outflow)
        except Abandoned:
            log.info("portfolio abandoned by its caller")
        except ForetellError as error:
            if not outflow.started:
                raise
            # Without the end of the body, uvicorn closes the connection.
            log.warning("portfolio cut off", reason=str(error))
        finally:
            inflow.stop()
            spool.abandon()
            filling.cancel()
            with suppress(BaseException):
                await working

    def _facts(self) -> list[tuple[bytes, bytes]]:
        card = self.exchange.portfolio.served.card
        return [
            (b"content-type", self.exchange.wanted.media.encode()),
            (b"x-model", f"{card.name}/{card.version}".encode()),
            (b"x-threshold", repr(card.threshold).encode()),
        ]


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed at once, without waiting for anybody
        loop.call_soon_threadsafe(event.set)


@dataclass
class _Outflow:
    send: Send
    headers: list[tuple[bytes, bytes]]
    started: bool = False

    async def start(self) -> None:
        if not self.started:
            self.started = True
            start = {"type": "http.response.start", "status": 200, "headers": self.headers}
            await self.send(start)

    async def give(self, piece: bytes, *, more: bool) -> None:
        await self.start()
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})


async def _send_all(
    spool: Spool, working: "asyncio.Future[None]", written: asyncio.Event, outflow: _Outflow
) -> None:
    while True:
        await written.wait()
        written.clear()
        ended = working.done()
        while piece := await asyncio.to_thread(spool.take, PIECE):
            await outflow.give(piece, more=True)
        if ended:
            working.result()
            await outflow.give(b"", more=False)
            return


def batch_path(task: TabularTask) -> str:
    """Where a task's portfolios are taken."""
    return f"/v1/{task.name}/predict/batch"


def batch_router(task: TabularTask) -> APIRouter:
    """`POST /v1/<task>/predict/batch`."""

    async def batch(
        request: Request,
        model: ModelChoice = None,
        version: VersionChoice = None,
        label: LabelChoice = None,
        on_error: Annotated[
            str,
            Query(
                description="`refuse`: one bad row refuses the whole portfolio, and every row of a "
                "200 is scored. `report`: bad rows have no probability, and an `error`.",
                json_schema_extra={"enum": list(get_args(OnError))},
            ),
        ] = "refuse",
    ) -> Response:
        settings: Settings = request.app.state.settings
        given = given_format(request)
        wanted = wanted_format(request.headers.get("accept"), given)
        if on_error not in get_args(OnError):
            expected = " or ".join(get_args(OnError))
            raise InvalidPayload([FieldProblem("on_error", expected, echo(on_error))])
        limit = settings.max_bulk_bytes
        if int(request.headers.get("content-length") or 0) > limit:
            raise PayloadTooLarge(limit, SETTING)
        repository: Repository = request.app.state.repository
        portfolio = Portfolio(
            repository.choose(task.name, chosen_model(request), request_id(request)),
            cast(OnError, on_error),
        )
        exchange = Exchange(portfolio, given, wanted, settings, request.app.state.board)
        return PortfolioResponse(exchange, request.app.state.places)

    router = APIRouter(tags=[task.name])
    router.add_api_route(
        batch_path(task),
        batch,
        methods=["POST"],
        name=f"{task.name} portfolio",
        summary=f"{task.title}: a whole portfolio",
        description=_description(task),
        response_class=Response,
        responses={200: {"description": "The rows, scored", "content": _contents(task, True)}},
        openapi_extra={"requestBody": {"required": True, "content": _contents(task, False)}},
    )
    return router


def _description(task: TabularTask) -> str:
    return (
        f"{task.prediction.__doc__}\n\nThe content type says how the body is read, `Accept` how it "
        "is answered (by default the same). Columns go by name, in any order; those that are no "
        "fields are carried through to the answer, beside `probability`, "
        f"`{task.decision}` and, where the model's card knows them, `certainty` and "
        "`in_distribution`. The headers `X-Model` and `X-Threshold` say what decided."
    )


def _contents(task: TabularTask, answer: bool) -> dict[str, Any]:
    example: Any = task.payload.model_config.get("json_schema_extra") or {}
    row: dict[str, Any] = {"account": "0001"}
    answered: dict[str, Any] = {"probability": 0.83, task.decision: True}
    answered |= {"certainty": "decided", "in_distribution": True}
    row |= answered if answer else example.get("example", {})
    schema: dict[str, Any] = {"type": "array", "items": {"type": "object"}, "example": [row]}
    binary = {"type": "string", "format": "binary"}
    return {
        form.media: {"schema": schema if form is JSON else binary} for form in BY_MEDIA.values()
    }
