"""FORETELL_HTTP=fast: one write for an answer, no task for a call that waits for nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path

import pytest

pytest.importorskip("uvloop", reason="uvloop is not for this platform")

from service.server.fast_http import MAX_COALESCED_BYTES, CoalescingTransport, eager_task
from tests.service.server.test_http import Connection, Wire, parse, request

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"true"


def packets(use: Callable[[CoalescingTransport], Awaitable[None]]) -> Wire:
    """Use a transport, and return the wire with the packets that it sent."""
    wire = Wire()

    async def run() -> None:
        await use(CoalescingTransport(wire, asyncio.get_running_loop()))
        await asyncio.sleep(0)

    asyncio.run(run())
    return wire


def test_a_head_leaves_with_its_body() -> None:
    """One packet an answer, also when answers follow one another at once."""

    async def use(transport: CoalescingTransport) -> None:
        for _ in range(2):
            transport.write(HEAD)
            transport.write(BODY)

    assert packets(use).packets == [HEAD + BODY] * 2


def test_views_are_sent_like_bytes_and_long_ones_as_they_are() -> None:
    """A tensor goes out without being copied; only a short one is, to go with its head."""
    long = memoryview(bytes(MAX_COALESCED_BYTES + 1))

    async def use(transport: CoalescingTransport) -> None:
        for body in (memoryview(BODY), long):
            transport.write(HEAD)
            transport.write(body)
        transport.write(memoryview(BODY))

    first, head, second, rest = packets(use).packets
    assert (first, head, rest) == (HEAD + BODY, HEAD, BODY)
    assert second is long


def test_a_head_does_not_wait_for_a_body_that_is_late() -> None:
    """A stream's reader sees the status as soon as the loop has turned."""

    async def use(transport: CoalescingTransport) -> None:
        transport.write(HEAD)
        await asyncio.sleep(0.01)
        assert wire_of(transport).packets == [HEAD]
        transport.write(BODY)

    assert packets(use).packets == [HEAD, BODY]


def test_closing_sends_what_is_held_back() -> None:
    """An answer without a body, and a connection that ends with it."""

    async def use(transport: CoalescingTransport) -> None:
        transport.write(HEAD)
        transport.close()

    wire = packets(use)
    assert wire.packets == [HEAD]
    assert wire.closed


def test_all_else_is_the_transports_own() -> None:
    """Addresses, say."""

    async def use(transport: CoalescingTransport) -> None:
        assert transport.get_extra_info("peername") == ("127.0.0.1", 1)

    packets(use)


def wire_of(transport: CoalescingTransport) -> Wire:
    wire = transport._transport
    assert isinstance(wire, Wire)
    return wire


def test_a_call_that_need_not_wait_is_over_at_once() -> None:
    """No task is made for it."""
    done: list[bool] = []

    async def call() -> None:
        await asyncio.sleep(0) if done else done.append(True)

    async def run() -> None:
        assert eager_task(call(), asyncio.get_running_loop()) is None

    asyncio.run(run())
    assert done


def test_a_call_that_waits_goes_on_as_a_task_in_its_own_context() -> None:
    """Results, errors and cancellation of what it waits for reach it; a variable stays set."""
    who = ContextVar("who", default="nobody")
    seen: list[object] = []

    async def call() -> None:
        token = who.set("me")
        loop = asyncio.get_running_loop()
        for outcome in (1, ValueError("no"), 2):
            future = loop.create_future()
            if isinstance(outcome, int):
                loop.call_soon(future.set_result, outcome)
            else:
                loop.call_soon(future.set_exception, outcome)
            try:
                seen.append(await future)
            except ValueError as error:
                seen.append(str(error))
        seen.append(who.get())
        who.reset(token)  # fails in another context than it was set in
        async with asyncio.timeout(1):
            await asyncio.sleep(0)
        try:
            await loop.create_future()
        finally:
            seen.append("cancelled")

    async def run() -> None:
        task = eager_task(call(), asyncio.get_running_loop())
        assert task is not None
        while len(seen) < 4:
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert seen == [1, "no", 2, "me", "cancelled"]
    assert who.get() == "nobody"


def test_an_answer_leaves_in_one_packet(models_dir: Path) -> None:
    """Each of several that were asked for at once, by the fast path and by FastAPI."""

    async def run() -> None:
        connection = Connection(models_dir, "fast")
        calls = [request(60), request("old"), request(60, target="/v1/he%61rt/predict")]
        connection.send(b"".join(calls))
        assert await connection.answers(3) == connection.wire.packets
        statuses = [parse(each)[0] for each in connection.wire.packets]
        assert statuses == [200, 422, 200]

    asyncio.run(run())
