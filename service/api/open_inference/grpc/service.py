"""The protocol's calls over gRPC, answered by the same models as every other call.

Imported only where `grpc_port` is set: needs the extra `foretell[grpc]`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.json_format import ParseDict

from service.api.access.keys import Caller, Keys
from service.api.http.problems import crash_message
from service.api.http.requests import request_id_of
from service.api.open_inference import metadata
from service.api.open_inference.admin import ACTIONS, authorise, check_parameters
from service.api.open_inference.grpc.definitions import methods
from service.api.open_inference.grpc.messages import decode, encode, parse
from service.api.open_inference.infer import infer
from service.api.open_inference.statistics import Statistics
from service.api.state import ServiceState
from service.api.status import status_of
from service.errors import ForetellError, ModelNotReady, ShuttingDown, UnknownService
from service.models.runtime.loaded import LoadedModel
from service.observability.logs import current_request_id
from service.observability.metrics.requests import Calls

log = structlog.get_logger("foretell.grpc")

SERVICE, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
REQUEST_ID = "x-request-id"

Answer = Callable[[Any, Caller], Awaitable[Any]]
"""From a request and its sender to what fills the answer: a message, or a dictionary."""


class Inference:
    """One coroutine for each method of the protocol that is offered, by the protocol's name.

    Each takes a request and its sender; it answers with a message or the fields of one.
    """

    def __init__(self, state: ServiceState) -> None:
        """Answer with the models of a service."""
        self._state, self._registry = state, state.registry
        self._statistics = Statistics(state.counters)

    async def ServerLive(self, *_: Any) -> Any:  # noqa: N802  # the protocol's names
        """Liveness: the process answers."""
        return {"live": True}

    async def ServerReady(self, *_: Any) -> Any:  # noqa: N802
        """Readiness, as /readyz."""
        return {"ready": not self._state.unready_reasons()}

    async def ModelReady(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Readiness of a model; an unknown one is an error."""
        try:
            self._find(request)
        except ModelNotReady:
            return {"ready": False}
        return {"ready": True}

    async def ServerMetadata(self, *_: Any) -> Any:  # noqa: N802
        """Return name, version and extensions, as over REST."""
        return metadata.server()

    async def ModelMetadata(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Return the tensors of a model."""
        return metadata.model(self._registry.versions_of(request.name), self._find(request))

    async def ModelConfig(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Triton's ModelConfig."""
        return {
            "config": metadata.config(self._registry.versions_of(request.name), self._find(request))
        }

    async def ModelStatistics(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Statistics of one model, or of all that are ready."""
        ready = [n for n in self._registry.expected if n not in self._registry.not_ready()]
        served = [self._find(request)] if request.name else map(self._registry.default_of, ready)
        return {"model_stats": [self._statistics.shown(one) for one in served]}

    async def RepositoryIndex(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Return every version on disk, with its state."""
        return {"models": metadata.index(self._registry, request.ready)}

    async def RepositoryModelLoad(self, request: Any, caller: Caller) -> Any:  # noqa: N802
        """Load a model from its folder; an admin call."""
        return await self._admin("load", request, caller)

    async def RepositoryModelUnload(self, request: Any, caller: Caller) -> Any:  # noqa: N802
        """Unload a model, in every process; an admin call."""
        return await self._admin("unload", request, caller)

    async def ModelInfer(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Inference, with raw contents or typed ones; answers are raw."""
        # The id decides whether a canary answers: the message's own, or else the call's.
        routed_by = request.id or current_request_id.get()
        version = request.model_version or None
        served = self._registry.for_model(request.model_name, version, routed_by)
        counts, start = self._statistics.of(served), time.perf_counter_ns()
        read = partial(decode, request, served.session.input)
        try:
            answer, timing = await infer(served, request.ByteSize(), read, partial(encode, served))
        except Exception:
            counts.failed(time.perf_counter_ns() - start)
            raise
        counts.succeeded(timing, time.perf_counter_ns() - start)
        return answer

    async def _admin(self, action: str, request: Any, caller: Caller) -> Any:
        authorise(self._state.settings, caller)
        check_parameters(request.parameters)
        await asyncio.to_thread(ACTIONS[action], self._registry, request.model_name)
        return {}

    def _find(self, request: Any) -> LoadedModel:
        return self._registry.for_model(request.name, request.version or None)


class Health:
    """The health service that Kubernetes and load balancers ask.

    https://github.com/grpc/grpc/blob/master/doc/health-checking.md
    """

    LIVE, READY = frozenset({"liveness"}), frozenset({"", "readiness", SERVICE})

    def __init__(self, state: ServiceState) -> None:
        """Answer for a service."""
        self._state = state

    async def Check(self, request: Any, _: Any) -> Any:  # noqa: N802
        """Readiness of the service, or its liveness if `liveness` is asked for."""
        if request.service not in self.LIVE | self.READY:
            raise UnknownService(request.service, sorted(self.LIVE | self.READY))
        serving = request.service in self.LIVE or not self._state.unready_reasons()
        return {"status": "SERVING" if serving else "NOT_SERVING"}


def handlers(state: ServiceState) -> list[Any]:
    """Return the handlers of both services for a gRPC server."""
    bind = partial(_handler, state, Calls(state.counters), Keys(state.settings.admin_key))
    return [
        grpc.method_handlers_generic_handler(
            service,
            {
                name: bind(name, asked, answered, getattr(answers, name))
                for name, (asked, answered) in methods(service).items()
                if hasattr(answers, name)
            },
        )
        for service, answers in ((SERVICE, Inference(state)), (HEALTH, Health(state)))
    ]


def _handler(
    state: ServiceState,
    calls: Calls,
    keys: Keys,
    name: str,
    asked: Any,
    answered: Any,
    answer: Answer,
) -> Any:
    async def respond(data: bytes, context: Any) -> Any:
        start = time.perf_counter()
        sent = dict(context.invocation_metadata())
        request_id = request_id_of(_text(sent.get(REQUEST_ID)))
        token = current_request_id.set(request_id)
        context.set_trailing_metadata(((REQUEST_ID, request_id),))
        code, details, result = grpc.StatusCode.OK, "", answered()
        try:
            if state.lifecycle.closing:
                raise ShuttingDown
            caller = keys.caller_of(_text(sent.get("authorization")))
            found = await answer(parse(asked, data), caller)
            result = ParseDict(found, result) if isinstance(found, dict) else found
        except ForetellError as error:
            code, details = grpc.StatusCode[status_of(error).grpc], str(error)
        except Exception:
            log.exception("call crashed", method=name)
            code, details = grpc.StatusCode.INTERNAL, crash_message(request_id)
        # Not `abort`: what that raises keeps the call's data until garbage is collected.
        context.set_code(code)
        context.set_details(details)
        seconds = time.perf_counter() - start
        calls.count(name, code.name, seconds)
        log.info("call", method=name, status=code.name, ms=round(seconds * 1000, 2))
        current_request_id.reset(token)
        return result

    return grpc.unary_unary_rpc_method_handler(
        respond, response_serializer=answered.SerializeToString
    )


def _text(value: str | bytes | None) -> str | None:
    """Return the value of a metadata key, which is bytes for a key that ends in -bin."""
    return value.decode("latin-1") if isinstance(value, bytes) else value
