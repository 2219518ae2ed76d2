"""The Open Inference Protocol over gRPC, from the same sessions as everything else.

The protocol's messages are the published ones, as `tritonclient` brings them, compiled: nothing is
declared anew here. Imported only where `grpc_port` is set: needs the extra `foretell[grpc]`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.json_format import ParseDict
from starlette.datastructures import State
from tritonclient.grpc import model_config_pb2, service_pb2

from service.errors import ForetellError, ModelNotReady, SettingsError, Unsupported
from service.problems import STATUS
from service.readiness import obstacles
from service.repository import INLINE_US, Repository, Served
from service.settings import Settings
from service.v2 import metadata
from service.v2.infer import Timing, infer, quick
from service.v2.messages import decode, encode, parse
from service.v2.statistics import Statistics

log = structlog.get_logger("foretell.grpc")

SERVICE = "inference.GRPCInferenceService"
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""gRPC's word for each HTTP status of a domain error; INTERNAL for any other."""


BY_HTTP = "models are loaded and unloaded by HTTP: POST /v2/repository/models/{name}/load"


class Methods:
    """One coroutine for each method of the protocol that is offered, by the protocol's name."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._repository: Repository = state.repository
        self._statistics: Statistics = state.statistics

    async def ServerLive(self, _: Any) -> Any:  # noqa: N802  # the protocol's names
        """Whether the process answers."""
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, _: Any) -> Any:  # noqa: N802
        """As /readyz."""
        return service_pb2.ServerReadyResponse(ready=not obstacles(self._state))

    async def ModelReady(self, request: Any) -> Any:  # noqa: N802
        """Whether a model answers; one that there is not is an error."""
        try:
            self._find(request)
        except ModelNotReady:
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, _: Any) -> Any:  # noqa: N802
        """Name, version and extensions, as by HTTP."""
        return ParseDict(metadata.server(), service_pb2.ServerMetadataResponse())

    async def ModelMetadata(self, request: Any) -> Any:  # noqa: N802
        """A model's tensors."""
        described = metadata.model(self._repository.line(request.name), self._find(request))
        return ParseDict(described, service_pb2.ModelMetadataResponse())

    async def ModelConfig(self, request: Any) -> Any:  # noqa: N802
        """Triton's ModelConfig."""
        config = metadata.config(self._repository.line(request.name), self._find(request))
        message = ParseDict(config, model_config_pb2.ModelConfig())
        return service_pb2.ModelConfigResponse(config=message)

    async def ModelStatistics(self, request: Any) -> Any:  # noqa: N802
        """Of one model, or of all that are ready."""
        ready = [n for n in self._repository.expected if n not in self._repository.not_ready()]
        served = [self._find(request)] if request.name else map(self._repository.get, ready)
        shown = {"model_stats": [self._statistics.shown(one) for one in served]}
        return ParseDict(shown, service_pb2.ModelStatisticsResponse())

    async def RepositoryIndex(self, request: Any) -> Any:  # noqa: N802
        """Every version on disk, and which of them answers."""
        listed = {"models": metadata.index(self._repository, request.ready)}
        return ParseDict(listed, service_pb2.RepositoryIndexResponse())

    async def RepositoryModelLoad(self, _: Any) -> Any:  # noqa: N802
        """Not offered here."""
        raise Unsupported(BY_HTTP)

    async def RepositoryModelUnload(self, _: Any) -> Any:  # noqa: N802
        """Not offered here."""
        raise Unsupported(BY_HTTP)

    async def ModelInfer(self, request: Any) -> Any:  # noqa: N802
        """Inference, with raw contents or typed ones; answers are raw."""
        served = self._repository.resolve(
            request.model_name, request.model_version or None, request.id or None
        )
        counts, start = self._statistics.of(served), time.perf_counter_ns()
        read = partial(decode, request, served.predictor.input)
        work = partial(infer, served, read, partial(encode, served))
        try:
            answer: tuple[Any, Timing]
            if quick(served, request.ByteSize(), INLINE_US):
                answer = work()
            else:
                answer = await asyncio.to_thread(work)
        except Exception:
            counts.failed(time.perf_counter_ns() - start)
            raise
        counts.succeeded(answer[1], time.perf_counter_ns() - start)
        return answer[0]

    def _find(self, request: Any) -> Served:
        return self._repository.resolve(request.name, request.version or None)


def _method(name: str, answer: Callable[[Any], Awaitable[Any]]) -> Any:
    word = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[name]
    asked = getattr(service_pb2, word.input_type.name)
    answered = getattr(service_pb2, word.output_type.name)

    async def respond(data: bytes, context: Any) -> Any:
        start = time.perf_counter()
        code, message = grpc.StatusCode.OK, ""
        result = answered()
        try:
            result = await answer(parse(asked, data))
        except ForetellError as error:
            code = CODES.get(STATUS[type(error)], grpc.StatusCode.INTERNAL)
            message = str(error)
        except Exception:
            log.exception("call crashed", method=name)
            code = grpc.StatusCode.INTERNAL
            message = "an error in the service, not in your request; the log has it"
        # Not `abort`: what that raises keeps the call's data until garbage is collected.
        context.set_code(code)
        context.set_details(message)
        ms = round((time.perf_counter() - start) * 1000, 2)
        log.info("call", method=name, status=code.name, ms=ms)
        return result

    return grpc.unary_unary_rpc_method_handler(
        respond, response_serializer=answered.SerializeToString
    )


async def start(state: State, settings: Settings) -> Any:
    """A server that listens on `grpc_port`. Raises SettingsError if it cannot.

    Messages of more than `max_body_bytes` are refused, as bodies are.
    """
    if settings.workers > 1 and not settings.grpc_port:
        raise SettingsError("FORETELL_GRPC_PORT: expected a port that workers can share, got 0")
    methods = Methods(state)
    handlers = {
        name: _method(name, getattr(methods, name)) for name in vars(Methods) if name[0].isupper()
    }
    options = [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        # A port that another process has is an error, as for HTTP; but workers share theirs.
        ("grpc.so_reuseport", int(settings.workers > 1)),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        raise SettingsError(f"FORETELL_GRPC_PORT: {error}") from error
    await server.start()
    log.info("listening for gRPC", address=f"{host}:{port}")
    return server
