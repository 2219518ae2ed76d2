"""gzip and deflate, of requests and of answers.

`deflate` is zlib's format, as HTTP means it (RFC 9110, 8.4.1.2) and `tritonclient` sends it.
"""

import zlib

from service.api.http.requests import IDENTITY, MAX_SHOWN_HEADER, accepted_ranges
from service.api.open_inference.tensors import refuse
from service.errors import PayloadTooLarge, Unsupported

WINDOWS = {"gzip": 31, "deflate": 15}
"""zlib's `wbits` for each coding, the preferred one first."""
SHORTEST = 1024
"""Bytes of the shortest answer that is compressed."""
LEVEL = 1
"""zlib's level. Floats hardly shrink: a higher one costs more time than it saves."""


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """Return a body of some Content-Encoding as it was before, at most `limit` bytes.

    Raises PayloadTooLarge, Unsupported for a coding that is not offered, or InvalidPayload.
    """
    if coding == IDENTITY:
        return body
    if coding not in WINDOWS:
        offered, got = " or ".join(WINDOWS), coding[:MAX_SHOWN_HEADER]
        raise Unsupported(f"expected Content-Encoding {offered}, got {got!r}")
    stream = zlib.decompressobj(WINDOWS[coding])
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise refuse("body", f"{coding} data", f"something else ({error})") from error
    if len(plain) > limit:
        raise PayloadTooLarge(limit)
    if not stream.eof or stream.unused_data:
        got = "more behind its end" if stream.eof else "a part of it"
        raise refuse("body", f"{coding} data", got)
    return plain


def accepted(header: str | None) -> str | None:
    """Return the coding to answer in, by the caller's Accept-Encoding; None for none."""
    weights = dict(accepted_ranges(header or ""))
    return next((name for name in WINDOWS if weights.get(name)), None)


def compress(parts: list[bytes | memoryview], coding: str) -> bytes:
    """Compress the parts of an answer into one body."""
    stream = zlib.compressobj(LEVEL, wbits=WINDOWS[coding])
    return b"".join([*(stream.compress(part) for part in parts), stream.flush()])
