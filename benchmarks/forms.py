"""Processor time of parsing a form of pictures by `service.images.uploads.multipart` and Starlette.

python benchmarks/forms.py
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from service.images.uploads.multipart import parts_of

CONTENT_TYPE = "multipart/form-data; boundary=canvas"
PIECE = 65_536  # bytes that uvicorn passes on at once


def form(files: int, size: int) -> bytes:
    """Return a form of `files` files, each of `size` bytes."""
    head = 'Content-Disposition: form-data; name="file"; filename="canvas.png"'
    part = f"--canvas\r\n{head}\r\nContent-Type: image/png\r\n\r\n".encode()
    return (part + bytes(range(256)) * (size // 256) + b"\r\n") * files + b"--canvas--\r\n"


async def by_starlette(body: bytes) -> None:
    """Parse a form as Starlette's `request.form()` does."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        for at in range(0, len(body), PIECE):
            yield body[at : at + PIECE]

    read = await MultiPartParser(Headers({"content-type": CONTENT_TYPE}), pieces()).parse()
    await read.close()


def microseconds(call: Callable[[], object]) -> float:
    """Return the median microseconds of the calls that fit into a second."""
    took = []
    until = time.perf_counter() + 1
    while time.perf_counter() < until:
        start = time.thread_time()
        call()
        took.append(time.thread_time() - start)
    return statistics.median(took) * 1e6


def main() -> None:
    """Print the table."""
    loop = asyncio.new_event_loop()
    for files, size in ((1, 5_120), (1, 3 * 2**20), (256, 5_120)):
        body = form(files, size)
        starlette = microseconds(lambda body=body: loop.run_until_complete(by_starlette(body)))
        ours = microseconds(lambda body=body: parts_of(body, CONTENT_TYPE, 256))
        print(f"{files:4} of {size:9,} bytes: Starlette {starlette:8.0f} us, ours {ours:8.0f} us")
    loop.close()


if __name__ == "__main__":
    main()
