"""Routes whose calls are answered ahead of FastAPI, and declared to it all the same.

FastAPI's dependencies, validation and serialisation cost ten times what a small model does. A
`FastRoute` is declared like any other, so that /docs, the schema, 404 and 405 know it; its calls
are answered by its own `answer`: bytes in, bytes out. The front door does everything else (id, log,
limits), as for every request.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from service.api.http.problems import refusal
from service.api.http.requests import request_id, require_known_query
from service.errors import ForetellError

Answer = Callable[[Request], Awaitable[bytes]]
"""Answers one request with JSON. Raises ForetellError."""

JSON = b"application/json"


class DeclaredOnly(NotImplementedError):
    """The body of a function that declares a route for /docs: the route is answered elsewhere."""


class FastRoute(APIRoute):
    """A route that `answer` answers; the function it is declared with only documents it."""

    answer: ClassVar[Answer]

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler of a call that FastAPI passes on: under a root path, for example."""
        known = query_names(self)

        async def handle(request: Request) -> Response:
            require_known_query(request.scope, known)
            return Response(await type(self).answer(request), media_type=JSON.decode())

        return handle


def answered_by(answer: Answer) -> type[FastRoute]:
    """Return a class of routes, for `APIRouter(route_class=...)`."""
    return type("AnsweredRoute", (FastRoute,), {"answer": staticmethod(answer)})


def query_names(route: APIRoute) -> tuple[str, ...]:
    """Return the names of the query parameters that a route and its dependencies declare."""
    parts = [route.dependant]
    for part in parts:
        parts += part.dependencies
    return tuple(parameter.alias for part in parts for parameter in part.query_params)


def known_query(request: Request) -> None:
    """Raises InvalidPayload for query parameters that the route of a request does not declare."""
    require_known_query(request.scope, query_names(request.scope["route"]))


def fast_routes(routers: Iterable[APIRouter]) -> dict[str, FastRoute]:
    """Return every `FastRoute` of some routers, by path."""
    routes = [route for router in routers for route in router.routes]
    return {route.path: route for route in routes if isinstance(route, FastRoute)}


class FastPath:
    """The ASGI application of POSTs to the paths of fast routes, and of nothing else."""

    def __init__(self, routes: Mapping[str, FastRoute]) -> None:
        """Take the route of each path."""
        self._answers = {path: type(route).answer for path, route in routes.items()}
        self._query_names = {path: query_names(route) for path, route in routes.items()}
        self.paths = {path.encode(): path for path in routes}

    def matches(self, scope: Scope) -> bool:
        """Return True for a call of a fast route; under a root path, FastAPI answers."""
        return scope["path"] in self._answers and scope["method"] == "POST"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        request, path = Request(scope, receive), scope["path"]
        try:
            require_known_query(scope, self._query_names[path])
            body = await self._answers[path](request)
        except ForetellError as error:
            await refusal(error, request_id(request))(scope, receive, send)
            return
        headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
