"""The paths of the Open Inference Protocol: everything under /v2, its errors included.

An ASGI application of its own beside FastAPI: errors have the protocol's form, and arrays are not
copied by a framework.
"""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

from service.api.http.requests import route_path
from service.api.open_inference.rest import calls
from service.api.open_inference.rest.calls import Call
from service.api.open_inference.rest.replies import Reply, failure, refusal
from service.api.open_inference.statistics import Statistics
from service.api.state import ServiceState
from service.contract.messages import echo
from service.errors import ForetellError

PREFIX = "/v2"
OF_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/([a-z]+))?")
OF_ADMIN = re.compile(r"/v2/repository/models/([^/]+)/([a-z]+)")

NOT_OFFERED = re.compile(
    r"/v2/(?:(?:system|cuda)sharedmemory(?:/.*)?|logging|trace/setting)"
    r"|/v2/models/[^/]+(?:/versions/[^/]+)?/(?:trace/setting|generate|generate_stream)"
)
"""Extensions of Triton that clients know and this service does not have."""
VERSION = "/versions/{version}"

Handler = Callable[[Call], Awaitable[Reply]]
PATHS: dict[str, tuple[str, Handler]] = {
    "/v2": ("GET", calls.server),
    "/v2/health/live": ("GET", calls.live),
    "/v2/health/ready": ("GET", calls.ready),
    "/v2/models/stats": ("GET", calls.all_statistics),
    "/v2/repository/index": ("POST", calls.index),
}
MODEL_PATHS: dict[str | None, tuple[str, Handler]] = {
    None: ("GET", calls.model),
    "ready": ("GET", calls.model_ready),
    "config": ("GET", calls.model_config),
    "stats": ("GET", calls.model_statistics),
    "infer": ("POST", calls.model_infer),
}
ADMIN_PATHS: dict[str, tuple[str, Handler]] = {
    "load": ("POST", calls.load),
    "unload": ("POST", calls.unload),
}


def model_path(action: str | None, *, versioned: bool) -> str:
    """Return the template of a model's path."""
    version = VERSION if versioned else ""
    return f"/v2/models/{{name}}{version}" + ("" if action is None else f"/{action}")


def admin_path(action: str) -> str:
    """Return the template of an admin call's path."""
    return f"/v2/repository/models/{{name}}/{action}"


class Route(NamedTuple):
    """The call at a path, with the model and the version that the path names."""

    method: str
    handler: Handler
    template: str
    name: str = ""
    version: str | None = None


def find_route(path: str) -> Route | None:
    """Return the route of a path under /v2; None if there is nothing."""
    if path == f"{PREFIX}/":  # as the protocol's OpenAPI file has it
        path = PREFIX
    if path in PATHS:
        return Route(*PATHS[path], path)
    if (found := OF_MODEL.fullmatch(path)) and found[3] in MODEL_PATHS:
        template = model_path(found[3], versioned=found[2] is not None)
        return Route(*MODEL_PATHS[found[3]], template, found[1], found[2])
    if (found := OF_ADMIN.fullmatch(path)) and found[2] in ADMIN_PATHS:
        return Route(*ADMIN_PATHS[found[2]], admin_path(found[2]), found[1])
    return None


class OpenInference:
    """The ASGI application of everything under /v2."""

    def __init__(self, state: ServiceState) -> None:
        """Answer with the models of a service."""
        self._state, self._statistics = state, Statistics(state.counters)

    def matches(self, scope: Scope) -> bool:
        """Return True for a request under /v2."""
        path = route_path(scope)
        return path == PREFIX or path.startswith(f"{PREFIX}/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. The front door answers crashes."""
        try:
            reply = await self._answer(route_path(scope), scope, receive)
        except ForetellError as error:
            reply = refusal(error)
        await reply(send)

    async def write_error(
        self, scope: Scope, receive: Receive, send: Send, status: int, detail: str
    ) -> None:
        """Answer a request with an error in the protocol's form, where none of its calls does."""
        if route := find_route(route_path(scope)):
            scope["template"] = route.template
        await failure(status, detail)(send)

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Reply:
        route = find_route(path)
        if route is None and NOT_OFFERED.fullmatch(path):
            return failure(501, f"{echo(path)} is of an extension that is not offered here")
        if route is None:
            return failure(404, f"there is nothing at {echo(path)}")
        scope["template"] = route.template  # by which it is counted
        allowed = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        if scope["method"] not in allowed:
            message = f"{echo(path)} does not answer {scope['method']}"
            return failure(405, message, (b"allow", ", ".join(allowed).encode()))
        call = Call(scope, receive, self._state, self._statistics, route.name, route.version)
        return await route.handler(call)
