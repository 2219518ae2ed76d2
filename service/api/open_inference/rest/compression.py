"""gzip and deflate, of requests and of answers.

`deflate` is zlib's format, as HTTP means it (RFC 9110, 8.4.1.2) and `tritonclient` sends it.
"""

import zlib

from service.api.open_inference.tensors import refuse
from service.errors import PayloadTooLarge, Unsupported

WINDOWS = {"gzip": 31, "deflate": 15}
"""zlib's `wbits` for each coding; the better known first."""
SHORTEST = 1024
"""Shorter answers are sent as they are, whatever the caller can read."""
LEVEL = 1
"""Floats hardly shrink; a higher level costs more time than it saves."""


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body. Raises PayloadTooLarge over `limit` bytes, however short it was sent."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WINDOWS:
        raise Unsupported(f"expected Content-Encoding {' or '.join(WINDOWS)}, got {coding[:80]!r}")
    stream = zlib.decompressobj(WINDOWS[name])
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise refuse("body", f"{name} data", f"something else ({error})") from error
    if len(plain) > limit:
        raise PayloadTooLarge(limit)
    if not stream.eof or stream.unused_data:
        got = "more behind its end" if stream.eof else "a part of it"
        raise refuse("body", f"{name} data", got)
    return plain


def accepted(header: str | None) -> str | None:
    """Return the coding to answer in, by the caller's Accept-Encoding; None for none."""
    offered = {}
    for part in (header or "").lower().split(","):
        name, _, parameter = part.partition(";")
        offered[name.strip()] = parameter.replace(" ", "")
    for name in WINDOWS:
        if name in offered and offered[name] not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return name
    return None


def compress(parts: list[bytes | memoryview], coding: str) -> bytes:
    """Compress the parts of an answer into one body."""
    stream = zlib.compressobj(LEVEL, wbits=WINDOWS[coding])
    return b"".join([*(stream.compress(part) for part in parts), stream.flush()])
