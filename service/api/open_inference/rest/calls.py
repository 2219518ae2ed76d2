"""The calls of the protocol over REST, one function each: a call in, a reply out."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from numpy.typing import NDArray
from pydantic_core import from_json
from starlette.types import Receive, Scope

from service.api.http.requests import (
    IDENTITY,
    caller_of,
    cancel_on_disconnect,
    content_coding,
    header,
    receive_body,
)
from service.api.open_inference import metadata
from service.api.open_inference.admin import ACTIONS, authorise, check_parameters
from service.api.open_inference.infer import decode, encode, infer
from service.api.open_inference.request import InferRequest
from service.api.open_inference.rest.compression import SHORTEST, accepted, compress, decompress
from service.api.open_inference.rest.replies import (
    JSON,
    Header,
    Reply,
    failure,
    json_reply,
    size_header,
)
from service.api.open_inference.statistics import Statistics
from service.api.open_inference.tensors import refuse
from service.api.state import ServiceState
from service.contract.messages import echo
from service.errors import ModelNotReady
from service.models.runtime.loaded import LoadedModel
from service.models.versions.model_versions import ModelVersions
from service.models.versions.registry import ModelRegistry

JSON_SIZE = b"inference-header-content-length"
BINARY = (b"content-type", b"application/octet-stream")
LONGEST_QUESTION = 1024
"""Bytes of a body that asks for the index, loads or unloads."""


@dataclass(frozen=True)
class Call:
    """One request, with the parts of its path."""

    scope: Scope
    receive: Receive
    state: ServiceState
    statistics: Statistics
    name: str = ""
    version: str | None = None

    @property
    def registry(self) -> ModelRegistry:
        """The models of the service."""
        return self.state.registry

    def served(self) -> LoadedModel:
        """Return the model of the path. Raises UnknownModel or ModelNotReady."""
        request_id: str = self.scope["state"]["request_id"]
        return self.registry.for_model(self.name, self.version, request_id)

    @property
    def versions(self) -> ModelVersions:
        """All versions of the model of the path. Raises UnknownModel."""
        return self.registry.versions_of(self.name)

    async def small_body(self) -> dict[str, Any]:
        """Return a short body: an object, empty if there is none. Raises InvalidPayload."""
        body = await receive_body(self.receive)
        if len(body) > LONGEST_QUESTION:
            raise refuse("body", f"at most {LONGEST_QUESTION:,} bytes", f"{len(body):,}")
        try:
            given = from_json(body) if body.strip() else {}
        except ValueError as error:
            raise refuse("body", "valid JSON or nothing", str(error)) from error
        if not isinstance(given, dict):
            raise refuse("body", "an object or nothing", echo(given))
        return given


async def server(_: Call) -> Reply:
    """Name, version and extensions of this server."""
    return json_reply(metadata.server())


async def live(_: Call) -> Reply:
    """Liveness: the process answers."""
    return json_reply({"live": True})


async def ready(call: Call) -> Reply:
    """Readiness of every model, as /readyz."""
    if reasons := call.state.unready_reasons():
        return failure(503, "; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    return json_reply({"live": True, "ready": True})


async def index(call: Call) -> Reply:
    """Every version on disk, and which of them answers."""
    ready_only = (await call.small_body()).get("ready", False)
    if not isinstance(ready_only, bool):
        raise refuse("ready", "true or false", echo(ready_only))
    return json_reply(metadata.index(call.registry, ready_only))


async def load(call: Call) -> Reply:
    """Load a model from its folder; an admin call."""
    return await _admin(call, "load")


async def unload(call: Call) -> Reply:
    """Unload a model, in every process; an admin call."""
    return await _admin(call, "unload")


async def _admin(call: Call, action: str) -> Reply:
    authorise(call.state.settings, caller_of(call.scope))
    parameters = (await call.small_body()).get("parameters") or {}
    check_parameters(parameters if isinstance(parameters, dict) else [echo(parameters)])
    await asyncio.to_thread(ACTIONS[action], call.registry, call.name)
    return json_reply({})


async def model(call: Call) -> Reply:
    """A model's tensors."""
    return json_reply(metadata.model(call.versions, call.served()))


async def model_ready(call: Call) -> Reply:
    """Readiness of a model."""
    return json_reply({"name": call.served().card.name, "ready": True})


async def model_config(call: Call) -> Reply:
    """A model's configuration, as Triton words it."""
    return json_reply(metadata.config(call.versions, call.served()))


async def model_statistics(call: Call) -> Reply:
    """Statistics of a model."""
    return json_reply({"model_stats": [call.statistics.shown(call.served())]})


async def all_statistics(call: Call) -> Reply:
    """Statistics of every model."""
    shown = []
    for name in call.registry.expected:
        try:
            shown.append(call.statistics.shown(call.registry.default_of(name)))
        except ModelNotReady:  # it has none
            continue
    return json_reply({"model_stats": shown})


async def model_infer(call: Call) -> Reply:
    """Inference, with JSON or binary tensors."""
    served = call.served()
    counts = call.statistics.of(served)
    body = await receive_body(call.receive)
    start = time.perf_counter_ns()
    coding = accepted(header(call.scope, b"accept-encoding"))
    try:
        packing, limit = content_coding(call.scope), call.state.settings.max_body_bytes
        json_size = size_header(call.scope, JSON_SIZE)

        def read() -> tuple[InferRequest, NDArray[Any]]:
            return decode(served.session, decompress(body, packing, limit), json_size)

        def word(*answer: Any) -> Reply:
            return _reply(*encode(served, *answer), coding)

        # The rows of a compressed body are not known before it is read.
        work = infer(served, len(body) if packing == IDENTITY else inf, read, word)
        reply, timing = await (
            cancel_on_disconnect(call.receive, work) if served.may_block else work
        )
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
