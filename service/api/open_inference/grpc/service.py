"""What is asked of the protocol by gRPC, from the same sessions as everything else.

Imported only where `grpc_port` is set: needs the extra `foretell[grpc]`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.json_format import ParseDict
from starlette.datastructures import State

from service.api.open_inference import metadata
from service.api.open_inference.admin import ACTIONS, authorise, check_parameters
from service.api.open_inference.grpc.definitions import methods
from service.api.open_inference.grpc.messages import decode, encode, parse
from service.api.open_inference.infer import infer
from service.api.open_inference.statistics import Statistics
from service.api.state import unready_reasons
from service.api.status import STATUS
from service.errors import ForetellError, ModelNotReady, UnknownService
from service.models.runtime.loaded import LoadedModel
from service.models.versions.registry import ModelRegistry
from service.observability.metrics.requests import Calls

log = structlog.get_logger("foretell.grpc")

SERVICE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""gRPC's word for each HTTP status of a domain error; INTERNAL for any other."""

Answer = Callable[[Any, Mapping[str, Any]], Awaitable[Any]]
"""From a request and the call's metadata to what fills the answer: a message, or a dictionary."""


class Inference:
    """One coroutine for each method of the protocol that is offered, by the protocol's name.

    Each takes a request and the call's metadata; it answers with a message or the fields of one.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._registry: ModelRegistry = state.registry
        self._statistics: Statistics = state.statistics

    async def ServerLive(self, *_: Any) -> Any:  # noqa: N802  # the protocol's names
        """Whether the process answers."""
        return {"live": True}

    async def ServerReady(self, *_: Any) -> Any:  # noqa: N802
        """As /readyz."""
        return {"ready": not unready_reasons(self._state)}

    async def ModelReady(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Whether a model answers; one that there is not is an error."""
        try:
            self._find(request)
        except ModelNotReady:
            return {"ready": False}
        return {"ready": True}

    async def ServerMetadata(self, *_: Any) -> Any:  # noqa: N802
        """Name, version and extensions, as by HTTP."""
        return metadata.server()

    async def ModelMetadata(self, request: Any, _: Any) -> Any:  # noqa: N802
        """A model's tensors."""
        return metadata.model(self._registry.versions_of(request.name), self._find(request))

    async def ModelConfig(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Triton's ModelConfig."""
        return {
            "config": metadata.config(self._registry.versions_of(request.name), self._find(request))
        }

    async def ModelStatistics(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Of one model, or of all that are ready."""
        ready = [n for n in self._registry.expected if n not in self._registry.not_ready()]
        served = [self._find(request)] if request.name else map(self._registry.default_of, ready)
        return {"model_stats": [self._statistics.shown(one) for one in served]}

    async def RepositoryIndex(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Every version on disk, and which of them answers."""
        return {"models": metadata.index(self._registry, request.ready)}

    async def RepositoryModelLoad(self, request: Any, sent: Mapping[str, Any]) -> Any:  # noqa: N802
        """Take up what lies in a model's folder; an operator's call."""
        return await self._controlled("load", request, sent)

    async def RepositoryModelUnload(self, request: Any, sent: Mapping[str, Any]) -> Any:  # noqa: N802
        """Answer no more calls to a model; an operator's call."""
        return await self._controlled("unload", request, sent)

    async def ModelInfer(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Inference, with raw contents or typed ones; answers are raw."""
        # A call without an id may be a canary's as any other.
        served = self._registry.for_model(
            request.model_name, request.model_version or None, request.id or random.random().hex()
        )
        counts, start = self._statistics.of(served), time.perf_counter_ns()
        read = partial(decode, request, served.session.input)
        try:
            answer, timing = await infer(served, request.ByteSize(), read, partial(encode, served))
        except Exception:
            counts.failed(time.perf_counter_ns() - start)
            raise
        counts.succeeded(timing, time.perf_counter_ns() - start)
        return answer

    async def _controlled(self, action: str, request: Any, sent: Mapping[str, Any]) -> Any:
        authorise(self._state.settings, sent.get("authorization"))
        check_parameters(request.parameters)
        await asyncio.to_thread(ACTIONS[action], self._registry, request.model_name)
        return {}

    def _find(self, request: Any) -> LoadedModel:
        return self._registry.for_model(request.name, request.version or None)


class Health:
    """What Kubernetes and load balancers ask of a gRPC server.

    https://github.com/grpc/grpc/blob/master/doc/health-checking.md
    """

    LIVE, READY = frozenset({"liveness"}), frozenset({"", "readiness", SERVICE})

    def __init__(self, state: State) -> None:
        self._state = state

    async def Check(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Whether the service is ready; asked for `liveness`, only that it answers."""
        if request.service not in self.LIVE | self.READY:
            raise UnknownService(request.service, sorted(self.LIVE | self.READY))
        serving = request.service in self.LIVE or not unready_reasons(self._state)
        return {"status": "SERVING" if serving else "NOT_SERVING"}


def handlers(state: State) -> list[Any]:
    """What a server needs to answer both services."""
    calls = Calls(state.counters)
    return [
        grpc.method_handlers_generic_handler(
            service,
            {
                name: _handler(name, asked, answered, getattr(answers, name), calls)
                for name, (asked, answered) in methods(service).items()
                if hasattr(answers, name)
            },
        )
        for service, answers in ((SERVICE, Inference(state)), (HEALTH, Health(state)))
    ]


def _handler(name: str, asked: Any, answered: Any, answer: Answer, calls: Calls) -> Any:
    async def respond(data: bytes, context: Any) -> Any:
        start = time.perf_counter()
        code, details, result = grpc.StatusCode.OK, "", answered()
        try:
            found = await answer(parse(asked, data), dict(context.invocation_metadata()))
            result = ParseDict(found, result) if isinstance(found, dict) else found
        except ForetellError as error:
            code = CODES.get(STATUS[type(error)], grpc.StatusCode.INTERNAL)
            details = str(error)
        except Exception:
            log.exception("call crashed", method=name)
            code = grpc.StatusCode.INTERNAL
            details = "an error in the service, not in your request; the log has it"
        # Not `abort`: what that raises keeps the call's data until garbage is collected.
        context.set_code(code)
        context.set_details(details)
        seconds = time.perf_counter() - start
        calls.count(name, code.name, seconds)
        log.info("call", method=name, status=code.name, ms=round(seconds * 1000, 2))
        return result

    return grpc.unary_unary_rpc_method_handler(
        respond, response_serializer=answered.SerializeToString
    )
