"""Plain ASGI middleware: what happens to every request, whatever route it takes."""

import logging
import time
from contextlib import suppress

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.problems import problem, problem_of, problem_response
from service.api.http.requests import REQUEST_ID, header, new_request_id
from service.errors import PayloadTooLarge
from service.observability.logs import current_request_id
from service.observability.metrics.requests import Requests

log = structlog.get_logger("foretell.http")
lines = logging.getLogger("foretell.http")

LONGEST_REQUEST_ID = 128


class RequestContext:
    """Gives each request an id (the caller's own, if any), logs and counts it, and answers crashes.

    While the service drains, every answer also closes its connection, so that clients with open
    connections move on before the service goes away.
    """

    def __init__(self, app: ASGIApp, requests: Requests) -> None:
        self.app, self.requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = _request_id(header(scope, REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = [
                    *message["headers"],
                    (REQUEST_ID, request_id.encode()),
                ]
                if scope["app"].state.draining:
                    headers.append((b"connection", b"close"))
            await send(message)

        token = current_request_id.set(request_id)
        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("caller went away", method=scope["method"], path=scope["path"])
        except Exception:
            log.exception("request crashed", method=scope["method"], path=scope["path"])
            if status:
                raise  # too late for another answer: the connection is cut
            detail = "an error in the service, not in your request; the log has it by request_id"
            await problem_response(problem(500, detail, request_id))(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - start
            self.requests.count(scope, status, seconds)
            # structlog finds out that a line is not wanted only after it has begun to make it.
            if lines.isEnabledFor(logging.INFO):
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round(seconds * 1000, 2),
                )
            current_request_id.reset(token)


def _request_id(sent: str | None) -> str:
    # A caller's id goes into headers and logs: printable and short, or it is replaced.
    if sent and len(sent) <= LONGEST_REQUEST_ID and sent.isascii() and sent.isprintable():
        return sent
    return new_request_id()


class BodyLimit:
    """Refuses bodies longer than `limit` bytes, as announced or else while they arrive.

    The routes at the paths `elsewhere` have limits of their own.

    Starlette has such a limit too, but refuses in plain text and ahead of the request's id.
    """

    def __init__(self, app: ASGIApp, limit: int, elsewhere: frozenset[str] = frozenset()) -> None:
        self.app, self.limit, self.elsewhere = app, limit, elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its bytes."""
        if scope["type"] != "http" or self._route_path(scope) in self.elsewhere:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"")
        if announced.isdigit():
            if int(announced) > self.limit:
                await self._refuse(scope, receive, send)
                return
            if b"transfer-encoding" not in headers:
                # The server cuts a body where its announced length ends.
                await self.app(scope, receive, send)
                return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                raise PayloadTooLarge(self.limit)
            return message

        async def send_unless_over(message: Message) -> None:
            # Frameworks turn an error while reading the body into an answer of their own.
            if taken <= self.limit:
                await send(message)

        with suppress(PayloadTooLarge):
            await self.app(scope, receive_counted, send_unless_over)
        if taken > self.limit:
            await self._refuse(scope, receive, send)

    @staticmethod
    def _route_path(scope: Scope) -> str:
        return str(scope["path"]).removeprefix(scope.get("root_path", ""))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = problem_of(PayloadTooLarge(self.limit), scope["state"]["request_id"])
        await problem_response(body)(scope, receive, send)
