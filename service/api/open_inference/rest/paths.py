"""HTTP of the Open Inference Protocol: everything under /v2 is answered here, errors included.

A piece of ASGI ahead of the framework: its words for errors are the protocol's, and arrays pass
through no one else's hands.
"""

import re
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.open_inference.rest import calls
from service.api.open_inference.rest.calls import Call
from service.api.open_inference.rest.replies import Reply, failure, refusal
from service.contract.messages import echo
from service.errors import ForetellError

log = structlog.get_logger("foretell.http")

PREFIX = "/v2"
OF_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/([a-z]+))?")
OF_CONTROL = re.compile(r"/v2/repository/models/([^/]+)/([a-z]+)")

NOT_OFFERED = re.compile(
    r"/v2/(?:(?:system|cuda)sharedmemory(?:/.*)?|logging|trace/setting)"
    r"|/v2/models/[^/]+(?:/versions/[^/]+)?/(?:trace/setting|generate|generate_stream)"
)
"""Extensions of Triton's that clients know and this service does not have."""
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
CONTROL_PATHS: dict[str, tuple[str, Handler]] = {
    "load": ("POST", calls.load),
    "unload": ("POST", calls.unload),
}


def model_path(action: str | None, *, versioned: bool) -> str:
    """The template of a model's path."""
    version = VERSION if versioned else ""
    return f"/v2/models/{{name}}{version}" + ("" if action is None else f"/{action}")


def control_path(action: str) -> str:
    """The template of a control call's path."""
    return f"/v2/repository/models/{{name}}/{action}"


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
        if path == PREFIX + "/":  # as the protocol's OpenAPI file has it
            path = PREFIX
        if path in PATHS:
            (method, handler), template = PATHS[path], path
        elif (found := OF_MODEL.fullmatch(path)) and found[3] in MODEL_PATHS:
            name, version = found[1], found[2]
            method, handler = MODEL_PATHS[found[3]]
            template = model_path(found[3], versioned=version is not None)
        elif (found := OF_CONTROL.fullmatch(path)) and found[2] in CONTROL_PATHS:
            name = found[1]
            (method, handler), template = CONTROL_PATHS[found[2]], control_path(found[2])
        elif NOT_OFFERED.fullmatch(path):
            return failure(501, f"{echo(path)} is of an extension that is not offered here")
        else:
            return failure(404, f"there is nothing at {echo(path)}")
        scope["template"] = template  # by which it is counted
        allowed = ("GET", "HEAD") if method == "GET" else (method,)
        if scope["method"] not in allowed:
            message = f"{echo(path)} does not answer {scope['method']}"
            return failure(405, message, (b"allow", ", ".join(allowed).encode()))
        return await handler(Call(scope, receive, name, version))
