"""HTTP as the protocol has it: bodies in, replies out, and every error as `{"error": "…"}`."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import to_json
from starlette.types import Scope, Send

from service.api.http.problems import retry_after
from service.api.http.requests import MAX_SHOWN_HEADER, header
from service.api.open_inference.tensors import refuse
from service.api.status import status_of
from service.errors import ForetellError

BAD_ARGUMENT = (415, 422)
"""Statuses of the typed routes for which the protocol has 400."""
JSON = (b"content-type", b"application/json")
Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Reply:
    """One answer: its parts are sent one after the other, none of them copied."""

    parts: Sequence[bytes | memoryview]
    status: int = 200
    headers: Sequence[Header] = (JSON,)

    async def __call__(self, send: Send) -> None:
        """Send the reply."""
        length = sum(len(part) for part in self.parts)
        headers = [*self.headers, (b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        last = len(self.parts) - 1
        for place, part in enumerate(self.parts):
            await send({"type": "http.response.body", "body": part, "more_body": place < last})


def json_reply(value: object) -> Reply:
    """Return a value as JSON."""
    return Reply([to_json(value)])


def failure(status: int, message: str, *headers: Header, retry: str = "1") -> Reply:
    """Return an error; 503 has a Retry-After."""
    retry_after = [(b"retry-after", retry.encode())] if status == 503 else []
    return Reply([to_json({"error": message})], status, [JSON, *retry_after, *headers])


def refusal(error: ForetellError) -> Reply:
    """Return a domain error in the protocol's form."""
    status = status_of(error).http
    status = 400 if status in BAD_ARGUMENT else status
    return failure(status, str(error), retry=retry_after(error))


def size_header(scope: Scope, name: bytes) -> int | None:
    """Return a header that is a number of bytes; None without it. Raises InvalidPayload."""
    text = header(scope, name)
    if text is None:
        return None
    # 20 digits hold every length; Python would parse thousands of them, slowly.
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise refuse(
            name.decode().title(), "a whole number of bytes", repr(text[:MAX_SHOWN_HEADER])
        )
    return int(text)
