"""Parts of a request that every route reads: headers, its id, its body."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from service.errors import UnsupportedMediaType

REQUEST_ID = b"x-request-id"


# Seeded by the system in each process. Ids need to differ, not to be secret: no call for each.
ids = Random()


def new_request_id() -> str:
    """An id for a request that brought none."""
    return f"{ids.getrandbits(128):032x}"


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of this name, which is in lower case.

    Starlette's Headers decode every name they pass; this runs several times for each request.
    """
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


T = TypeVar("T")


async def cancel_on_disconnect(receive: Receive, answer: Coroutine[Any, Any, T]) -> T:
    """What `answer` gives, for calls that wait; cancelled once the caller has gone away.

    The body is to have been read. Raises ClientDisconnect.
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


async def read_body(request: Request) -> bytes:
    """The whole body, read once. Raises UnsupportedMediaType if packed, or ClientDisconnect.

    Most bodies come in one piece, which Starlette passes through a generator and a list.
    """
    coding = header(request.scope, b"content-encoding")
    if coding and coding.lower() != "identity":
        raise UnsupportedMediaType(coding[:80], ["identity"], "Content-Encoding")
    pieces = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def require_json(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body is declared as JSON."""
    declared = header(request.scope, b"content-type")
    if declared == "application/json":
        return
    media = (declared or "").partition(";")[0].strip().lower()
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        raise UnsupportedMediaType(declared, ["application/json"])
