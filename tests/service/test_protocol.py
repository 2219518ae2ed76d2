"""How answers leave: head and body together, and neither ever late."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("uvloop", reason="uvloop is not for this platform")

from service.protocol import LONGEST_JOINED, JoiningTransport

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"true"


class Wire(asyncio.Transport):
    """Keeps every packet."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        """One packet."""
        assert not self.closed
        self.packets.append(data)

    def close(self) -> None:
        """No more."""
        self.closed = True


def packets(use: Callable[[JoiningTransport], Awaitable[None]]) -> Wire:
    """What is sent when a transport is used so."""
    wire = Wire()

    async def run() -> None:
        await use(JoiningTransport(wire, asyncio.get_running_loop()))
        await asyncio.sleep(0)

    asyncio.run(run())
    return wire


def test_a_head_leaves_with_its_body() -> None:
    """One packet an answer, also when answers follow one another at once."""

    async def use(transport: JoiningTransport) -> None:
        for _ in range(2):
            transport.write(HEAD)
            transport.write(BODY)

    assert packets(use).packets == [HEAD + BODY] * 2


def test_views_are_sent_like_bytes_and_long_ones_as_they_are() -> None:
    """A tensor goes out without being copied; only a short one is, to go with its head."""
    long = memoryview(bytes(LONGEST_JOINED + 1))

    async def use(transport: JoiningTransport) -> None:
        for body in (memoryview(BODY), long):
            transport.write(HEAD)
            transport.write(body)
        transport.write(memoryview(BODY))

    first, head, second, rest = packets(use).packets
    assert (first, head, rest) == (HEAD + BODY, HEAD, BODY)
    assert second is long


def test_a_head_does_not_wait_for_a_body_that_is_late() -> None:
    """A stream's reader sees the status as soon as the loop has turned."""

    async def use(transport: JoiningTransport) -> None:
        transport.write(HEAD)
        await asyncio.sleep(0.01)
        assert wire_of(transport).packets == [HEAD]
        transport.write(BODY)

    assert packets(use).packets == [HEAD, BODY]


def test_closing_sends_what_is_held_back() -> None:
    """An answer without a body, and a connection that ends with it."""

    async def use(transport: JoiningTransport) -> None:
        transport.write(HEAD)
        transport.close()

    wire = packets(use)
    assert wire.packets == [HEAD]
    assert wire.closed


def test_all_else_is_the_transports_own() -> None:
    """Addresses, say."""

    async def use(transport: JoiningTransport) -> None:
        assert transport.get_extra_info("peername") == ("127.0.0.1", 1)

    packets(use)


def wire_of(transport: JoiningTransport) -> Wire:
    wire = transport._transport
    assert isinstance(wire, Wire)
    return wire
