"""A transport that joins what uvicorn writes apart: an answer's head and its body."""

import asyncio
from typing import Any

BEGIN = b"HTTP/1.1 "
LONGEST_JOINED = 2**16
"""Bytes of a body that are copied to go with the head; more take several packets anyway."""


class JoiningTransport:
    """A transport that holds an answer's head back until the body follows, or the loop turns.

    uvicorn writes the two separately: two calls of the system, and two packets that each wake the
    client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None
        self.is_closing = transport.is_closing  # asked after each answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        """Send, or hold back."""
        if self._head is not None:
            if len(data) > LONGEST_JOINED:
                self.flush()
            else:
                data, self._head = self._head + data, None
        elif data[: len(BEGIN)] == BEGIN:
            self._head = bytes(data)
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def write_whole(self, answer: bytes) -> None:
        """Send head and body, already joined."""
        self.flush()
        self._transport.write(answer)

    def flush(self) -> None:
        """Send what is held back."""
        if self._head is not None:
            data, self._head = self._head, None
            self._transport.write(data)

    def close(self) -> None:
        """Once everything is sent."""
        self.flush()
        self._transport.close()
