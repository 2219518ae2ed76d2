"""HTTP of the Open Inference Protocol: everything under /v2 is answered here, errors included.

A piece of ASGI ahead of the framework: its words for errors are the protocol's, and arrays pass
through no one else's hands.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from pydantic_core import from_json
from starlette.datastructures import State
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ForetellError, ModelNotReady, Unsupported
from service.problems import echo
from service.repository import INLINE_US, Repository, Served
from service.v2 import metadata
from service.v2.compression import SHORTEST, accepted, compress, decompress
from service.v2.infer import Timing, decode, encode, infer, quick
from service.v2.metadata import find
from service.v2.replies import (
    JSON,
    Header,
    Reply,
    failure,
    header,
    json_reply,
    read_body,
    refusal,
    size_header,
)
from service.v2.statistics import Statistics
from service.v2.tensors import refuse

log = structlog.get_logger("foretell.http")

PREFIX = "/v2"
JSON_SIZE = b"inference-header-content-length"
BINARY = (b"content-type", b"application/octet-stream")
OF_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/([a-z]+))?")
CONTROL = re.compile(r"/v2/repository/models/[^/]+/(?:load|unload)")


@dataclass(frozen=True)
class Call:
    """One request, with the parts of its path."""

    scope: Scope
    receive: Receive
    name: str = ""
    version: str | None = None

    @property
    def state(self) -> State:
        """The application's: settings, models, whether it is about to stop."""
        state: State = self.scope["app"].state
        return state

    @property
    def repository(self) -> Repository:
        """The models."""
        repository: Repository = self.state.repository
        return repository

    @property
    def statistics(self) -> Statistics:
        """What is counted."""
        statistics: Statistics = self.state.statistics
        return statistics

    @property
    def limit(self) -> int:
        """Most bytes of a body, also of what a compressed one holds."""
        limit: int = self.state.settings.max_body_bytes
        return limit

    def served(self) -> Served:
        """The model of the path. Raises UnknownModel or ModelNotReady."""
        return find(self.repository, self.name, self.version)

    async def body(self) -> bytes:
        """The body as it came. Raises PayloadTooLarge or ClientDisconnect."""
        return await read_body(self.scope, self.receive, self.limit)


async def server(_: Call) -> Reply:
    """GET /v2."""
    return json_reply(metadata.server())


async def live(_: Call) -> Reply:
    """GET /v2/health/live."""
    return json_reply({"live": True})


async def ready(call: Call) -> Reply:
    """GET /v2/health/ready: as /readyz."""
    if call.state.draining:
        return failure(503, "the service is shutting down")
    if reasons := call.repository.not_ready():
        return failure(503, "; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    return json_reply({"live": True, "ready": True})


async def index(call: Call) -> Reply:
    """POST /v2/repository/index."""
    body = await call.body()
    try:
        wanted = from_json(body) if body.strip() else {}
    except ValueError as error:
        raise refuse("body", "valid JSON or nothing", str(error)) from error
    ready_only = wanted.get("ready", False) if isinstance(wanted, dict) else None
    if not isinstance(ready_only, bool):
        raise refuse("body", 'nothing, or an object: {"ready": true or false}', echo(wanted))
    return json_reply(metadata.index(call.repository, ready_only))


async def control(_: Call) -> Reply:
    """POST /v2/repository/models/{name}/load and unload."""
    raise Unsupported("models are loaded when the service starts, not by callers")


async def model(call: Call) -> Reply:
    """GET /v2/models/{name}."""
    return json_reply(metadata.model(call.served()))


async def model_ready(call: Call) -> Reply:
    """GET /v2/models/{name}/ready."""
    return json_reply({"name": call.served().card.name, "ready": True})


async def model_config(call: Call) -> Reply:
    """GET /v2/models/{name}/config."""
    return json_reply(metadata.config(call.served()))


async def model_statistics(call: Call) -> Reply:
    """GET /v2/models/{name}/stats."""
    return json_reply({"model_stats": [call.statistics.shown(call.served())]})


async def all_statistics(call: Call) -> Reply:
    """GET /v2/models/stats."""
    shown = []
    for name in call.repository.expected:
        try:
            shown.append(call.statistics.shown(call.repository.get(name)))
        except ModelNotReady:  # it has none
            continue
    return json_reply({"model_stats": shown})


async def model_infer(call: Call) -> Reply:
    """POST /v2/models/{name}/infer: on the event loop if it is quick, else in a thread."""
    served = call.served()
    start = time.perf_counter_ns()
    counts = call.statistics.of(served)
    coding = accepted(header(call.scope, b"accept-encoding"))
    try:
        body = await call.body()
        packed = header(call.scope, b"content-encoding")
        json_size = size_header(call.scope, JSON_SIZE)

        def answer() -> tuple[Reply, Timing]:
            plain = body if packed is None else decompress(body, packed, call.limit)
            read = partial(decode, served.predictor, plain, json_size)
            (json, data), timing = infer(served, read, partial(encode, served))
            return _reply(json, data, coding), timing

        if packed is None and quick(served, len(body), INLINE_US):
            reply, timing = answer()
        else:
            reply, timing = await asyncio.to_thread(answer)
    except Exception:
        counts.failed(time.perf_counter_ns() - start)
        raise
    counts.succeeded(timing, time.perf_counter_ns() - start)
    return reply


def _reply(json: bytes, data: Sequence[memoryview], coding: str | None) -> Reply:
    parts: list[bytes | memoryview] = [json, *data]
    headers: list[Header] = [JSON]
    if data:
        headers = [BINARY, (JSON_SIZE, b"%d" % len(json))]
    if coding is not None and sum(map(len, parts)) >= SHORTEST:
        return Reply(
            [compress(parts, coding)], 200, [*headers, (b"content-encoding", coding.encode())]
        )
    return Reply(parts, 200, headers)


Handler = Callable[[Call], Awaitable[Reply]]
PATHS: dict[str, tuple[str, Handler]] = {
    "/v2": ("GET", server),
    "/v2/": ("GET", server),
    "/v2/health/live": ("GET", live),
    "/v2/health/ready": ("GET", ready),
    "/v2/models/stats": ("GET", all_statistics),
    "/v2/repository/index": ("POST", index),
}
MODEL_PATHS: dict[str | None, tuple[str, Handler]] = {
    None: ("GET", model),
    "ready": ("GET", model_ready),
    "config": ("GET", model_config),
    "stats": ("GET", model_statistics),
    "infer": ("POST", model_infer),
}


class OpenInference:
    """Middleware: whatever is asked under /v2 is answered here, all else goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path != PREFIX and not path.startswith(PREFIX + "/"):
            await self.app(scope, receive, send)
            return
        try:
            reply = await self._answer(path, scope, receive)
        except ClientDisconnect:
            return
        except ForetellError as error:
            reply = refusal(error)
        except Exception:
            log.exception("request crashed", method=scope["method"], path=scope["path"])
            found = scope["state"]["request_id"]
            reply = failure(500, f"an error in the service, not in your request; log: {found}")
        await reply(send)

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Reply:
        name, version = "", None
        if path in PATHS:
            method, handler = PATHS[path]
        elif (found := OF_MODEL.fullmatch(path)) and found[3] in MODEL_PATHS:
            name, version = found[1], found[2]
            method, handler = MODEL_PATHS[found[3]]
        elif CONTROL.fullmatch(path):
            method, handler = "POST", control
        else:
            return failure(404, f"there is nothing at {echo(path)}")
        if scope["method"] != method:
            message = f"{echo(path)} does not answer {scope['method']}"
            return failure(405, message, (b"allow", method.encode()))
        return await handler(Call(scope, receive, name, version))
