"""Routes whose calls are answered ahead of the framework, and declared to it all the same.

FastAPI's dependencies, validation and serialisation cost ten times what a small model does. A
`FastRoute` is declared like any other, so that /docs, the schema, 404 and 405 know it; its calls
are answered by its own `answer`: bytes in, bytes out. All else that happens to a request (id, log,
limits, errors) is done by the same middleware as ever.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.http.problems import refusal
from service.errors import ForetellError

Answer = Callable[[Request], Awaitable[bytes]]
"""Answers one request with JSON. Raises ForetellError."""

JSON = b"application/json"


class FastRoute(APIRoute):
    """A route that `answer` answers; the function it is declared with only documents it."""

    answer: ClassVar[Answer]

    def get_route_handler(self) -> Callable[[Request], Any]:
        """For a call that took the long way, under a root path, say."""

        async def handle(request: Request) -> Response:
            return Response(await type(self).answer(request), media_type=JSON.decode())

        return handle


def answered_by(answer: Answer) -> type[FastRoute]:
    """A class of routes, for `APIRouter(route_class=...)`."""
    return type("AnsweredRoute", (FastRoute,), {"answer": staticmethod(answer)})


def fast_path_answers(routers: Iterable[APIRouter]) -> dict[str, Answer]:
    """The answers of all direct routes of some routers, by their path."""
    routes = [route for router in routers for route in router.routes]
    return {route.path: type(route).answer for route in routes if isinstance(route, FastRoute)}


class FastPath:
    """`app` answers POSTs to the paths of direct routes, behind `middleware`, and nothing else.

    The middleware is to be the framework's, so that the same happens to every request; but for what
    only looks at other paths.
    """

    def __init__(self, answers: Mapping[str, Answer], middleware: Sequence[Middleware]) -> None:
        self.answers = answers
        self.paths = {path.encode(): path for path in answers}
        self.app: ASGIApp = self._answer
        for each in reversed(middleware):
            self.app = each.cls(self.app, *each.args, **each.kwargs)

    def include(self, scope: Scope) -> bool:
        """Whether a request is such a call."""
        return (
            scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self.answers
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self.answers[scope["path"]](Request(scope, receive))
        except ForetellError as error:
            await refusal(error, scope["state"]["request_id"])(scope, receive, send)
            return
        headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
