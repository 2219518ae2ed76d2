"""Routes whose calls are answered ahead of the framework, and declared to it all the same.

FastAPI's dependencies, validation and serialisation cost ten times what a small model does. A
`DirectRoute` is declared like any other, so that /docs, the schema, 404 and 405 know it; its calls
are answered by its own `answer`: bytes in, bytes out. All else that happens to a request (id, log,
limits, errors) happens in the same place as ever.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ForetellError
from service.problems import problem_of, problem_response

Answer = Callable[[Request], Awaitable[bytes]]
"""Answers one request with JSON. Raises ForetellError."""

JSON = b"application/json"


class DirectRoute(APIRoute):
    """A route that `answer` answers; the function it is declared with only documents it."""

    answer: ClassVar[Answer]

    def get_route_handler(self) -> Callable[[Request], Any]:
        """For a call that took the long way, under a root path, say."""

        async def handle(request: Request) -> Response:
            return Response(await type(self).answer(request), media_type=JSON.decode())

        return handle


def answered_by(answer: Answer) -> type[DirectRoute]:
    """A class of routes, for `APIRouter(route_class=...)`."""
    return type("AnsweredRoute", (DirectRoute,), {"answer": staticmethod(answer)})


def direct_answers(routers: Iterable[APIRouter]) -> dict[str, Answer]:
    """The answers of all direct routes of some routers, by their path."""
    routes = [route for router in routers for route in router.routes]
    return {route.path: type(route).answer for route in routes if isinstance(route, DirectRoute)}


class DirectCalls:
    """Middleware: a POST to the path of a direct route is answered here, all else goes on."""

    def __init__(self, app: ASGIApp, answers: Mapping[str, Answer]) -> None:
        self.app, self.answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        answer = self.answers.get(scope["path"])
        if answer is None:
            await self.app(scope, receive, send)
            return
        try:
            body = await answer(Request(scope, receive))
        except ForetellError as error:
            refusal = problem_response(problem_of(error, scope["state"]["request_id"]))
            await refusal(scope, receive, send)
            return
        headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
