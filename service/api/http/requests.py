"""Parts of a request that every protocol over HTTP reads: headers, its id, its body."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, TypeVar

from fastapi import Request
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from service.api.access.keys import Caller
from service.api.state import ServiceState
from service.contract.messages import did_you_mean, echo
from service.contract.parsing import check_length
from service.errors import FieldProblem, InvalidPayload, UnsupportedMediaType

REQUEST_ID = b"x-request-id"
MAX_REQUEST_ID_LENGTH = 128
IDENTITY = "identity"
"""The Content-Encoding of a body that is not compressed."""
MAX_SHOWN_HEADER = 80
"""Characters of a header's value that a message repeats."""

Result = TypeVar("Result")

# Seeded by the system in each process. Ids need to differ, not to be secret: no system call each.
_ids = Random()


def new_request_id() -> str:
    """Return an id for a request that brought none: 32 hexadecimal digits."""
    return f"{_ids.getrandbits(128):032x}"


def request_id_of(sent: str | None) -> str:
    """Return the id that a caller sent, or a new one.

    It goes into headers and logs: one that is longer than 128 characters or not printable ASCII is
    replaced.
    """
    if sent and len(sent) <= MAX_REQUEST_ID_LENGTH and sent.isascii() and sent.isprintable():
        return sent
    return new_request_id()


def request_id(request: Request) -> str:
    """Return the id of a request, which also decides whether a canary answers it."""
    sent: str = request.scope["state"]["request_id"]
    return sent


def state_of(scope: Scope) -> ServiceState:
    """Return the state of the service that received a request."""
    state: ServiceState = scope["state"]["service"]
    return state


def caller_of(scope: Scope) -> Caller:
    """Return the sender of a request, as the front door knows it."""
    caller: Caller = scope["state"]["caller"]
    return caller


def route_path(scope: Scope) -> str:
    """Return the path of a request without the prefix under which a proxy publishes the service."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def require_known_query(scope: Scope, known: Iterable[str]) -> None:
    """Raises InvalidPayload for query parameters that a route does not have.

    A misspelt `?modle=` would otherwise be answered by the default model, without a word.
    """
    if not scope["query_string"]:
        return
    names = list(known)
    problems = [
        FieldProblem(
            name,
            f"a query parameter of this route: {', '.join(names) or 'there is none'}"
            f"{did_you_mean(name, names)}",
            echo(value),
        )
        for name, value in QueryParams(scope["query_string"]).items()
        if name not in names
    ]
    if problems:
        raise InvalidPayload(problems)


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this name, which is in lower case.

    Starlette's Headers decode every name they pass; this runs several times for each request.
    """
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def media_type(scope: Scope) -> str:
    """Return the media type of a body, in lower case and without its parameters."""
    declared = header(scope, b"content-type") or ""
    return declared.partition(";")[0].strip().lower()


def content_coding(scope: Scope) -> str:
    """Return the Content-Encoding of a body, in lower case; `identity` if none is declared."""
    return (header(scope, b"content-encoding") or "").strip().lower() or IDENTITY


def accepted_ranges(value: str) -> list[tuple[str, float]]:
    """Return the names in a header of Accept's form, in lower case and in order, with weights.

    A weight that is no number from 0 to 1 counts as 0 (RFC 9110, 12.4.2).
    """
    ranges = []
    for part in value.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [text.partition("=")[2] for text in parameters if text.startswith("q=")]
        ranges.append((name, _weight(weights[-1]) if weights else 1.0))
    return ranges


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0  # NaN fails both


def require_identity(scope: Scope) -> None:
    """Raises UnsupportedMediaType if the body is compressed."""
    sent = header(scope, b"content-encoding")
    if sent and content_coding(scope) != IDENTITY:
        raise UnsupportedMediaType(sent[:MAX_SHOWN_HEADER], [IDENTITY], "Content-Encoding")


def require_json(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body is declared as JSON."""
    declared = header(request.scope, b"content-type")
    if declared == "application/json":
        return
    media = media_type(request.scope)
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        raise UnsupportedMediaType(declared, ["application/json"])


async def read_body(request: Request) -> bytes:
    """Return the whole body. Raises UnsupportedMediaType if compressed, or ClientDisconnect.

    Most bodies come in one piece, which Starlette passes through a generator and a list.
    """
    require_identity(request.scope)
    return await receive_body(request.receive)


async def read_call(request: Request) -> bytes:
    """Return the body of a call in JSON; as `read_body`, and PayloadTooLarge once it is too long.

    It is kept whole until its end: callers that send no end would hold 32 MiB each.
    """
    require_identity(request.scope)
    return await receive_body(request.receive, check_length)


async def receive_body(receive: Receive, check: Callable[[int], None] | None = None) -> bytes:
    """Return the bytes of a body, joined once. Raises ClientDisconnect.

    `check` is given how many have come, and may raise.
    """
    pieces = []
    count, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if check is not None:
            count += len(pieces[-1])
            check(count)
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def cancel_on_disconnect(receive: Receive, answer: Coroutine[Any, Any, Result]) -> Result:
    """Return what `answer` returns; cancel it once the caller has gone away.

    The body has to be read before. Raises ClientDisconnect.
    """
    wanted = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((wanted, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            raise ClientDisconnect
        return wanted.result()
    finally:
        wanted.cancel()
        leaving.cancel()
