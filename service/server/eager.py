"""Calls that begin at once, without a task as long as they have nothing to wait for."""

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from types import coroutine
from typing import Any


def begin(
    call: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None] | None:
    """Run a coroutine until it has to wait; what is left, if anything, becomes a task.

    Most direct calls have nothing to wait for, and are over before a task would have begun.
    """
    if sys.version_info >= (3, 12):
        task = asyncio.Task(call, loop=loop, eager_start=True)
        return None if task.done() else task
    # Until Python 3.11 is gone. Up to where it first waits, a call has no current task here.
    context = copy_context()
    try:
        waited_for = context.run(call.send, None)
    except StopIteration:
        return None
    return loop.create_task(_rest(call, waited_for), context=context)


@coroutine
def _rest(call: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    # As `yield from`, for a coroutine that has already begun.
    with suppress(StopIteration):
        while True:
            try:
                value = yield waited_for
            except BaseException as error:
                waited_for = call.throw(error)
            else:
                waited_for = call.send(value)
