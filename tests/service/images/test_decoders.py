"""Processes that read pictures: each caller gets what its picture gives, whatever they die of."""

import asyncio
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.contextvars import bound_contextvars, get_contextvars

from service.errors import (
    BlankImage,
    DecodersBusy,
    DecodersUnavailable,
    ImageTooLarge,
    UnreadableImage,
)
from service.images.decoders import pool as module
from service.images.decoders.decoder_process import (
    PIXELS,
    READY,
    REQUEST,
    DecoderSettings,
    ReadingFailed,
)
from service.images.decoders.pool import (
    DECODERS,
    PICTURES_IN_FLIGHT,
    RESTARTS,
    DecoderPool,
)
from service.observability.metrics.shared_counters import SharedCounters
from service.settings.limits import QueueLimits

ECHO, SLOW, TAKEN_OVER = (f"{__name__}:{name}" for name in ("echo", "slow", "taken_over"))
SETTINGS = DecoderSettings((ECHO, SLOW, TAKEN_OVER), max_pixels=50, max_bytes=2**26, cpu_seconds=1)
SIZE = (28, 28)
PATIENT = QueueLimits(seconds=60)


def echo(encoded: bytes, *, max_pixels: int, max_bytes: int) -> NDArray[np.uint8]:
    """In a process that reads: the bytes as a picture, unless they tell it to do something else."""
    if encoded == b"die":
        os._exit(3)
    if encoded == b"hang":
        time.sleep(60)
    if encoded == b"blank":
        raise BlankImage("nothing on it")
    if encoded == b"large":
        raise ImageTooLarge(f"the picture has 100 pixels, the limit is {max_pixels}")
    if encoded == b"mistake":
        raise ZeroDivisionError("a mistake")
    return np.full((28, 28), int(encoded), np.uint8)


def slow(encoded: bytes, *, max_pixels: int, max_bytes: int) -> NDArray[np.uint8]:
    """Return what `echo` returns, slowly enough to act meanwhile."""
    time.sleep(0.05)
    return echo(encoded, max_pixels=max_pixels, max_bytes=max_bytes)


def taken_over(encoded: bytes, *, max_pixels: int, max_bytes: int) -> NDArray[np.uint8]:
    """Stand in for a decoder that a picture has taken over: what it tries fails, or ends it."""
    done = 0
    if encoded == b"pickle":
        os.write(0, pickle.dumps(print))
    elif encoded == b"long":
        os.write(0, struct.pack("<BI", PIXELS, 2**31))
    elif encoded == b"another size":
        return np.zeros((3, 3), np.uint8)
    elif encoded == b"memory":
        done = len(b"1" * 2**27)
    elif encoded == b"time":
        while True:
            pass
    elif encoded == b"open":
        for attempt in (socket.socket, os.pipe, lambda: Path("/etc/passwd").read_text()):
            with suppress(OSError):
                done += attempt() is not None
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))
            done += os.geteuid() != 0
        if os.geteuid() != 0:  # root may have as many processes as it likes
            with suppress(OSError):
                done += bool(os.fork()) or 1
    return np.full((28, 28), done, np.uint8)


def with_decoders(
    use: Callable[[DecoderPool], Awaitable[None]],
    count: int = 1,
    queue: QueueLimits = PATIENT,
) -> SharedCounters:
    """Use decoders within a time limit, and end them; what was counted."""
    counters = SharedCounters()

    async def run() -> None:
        decoders = DecoderPool(count, SETTINGS, queue, counters)
        try:
            await asyncio.wait_for(use(decoders), 60)
        finally:
            pids = decoders.pids
            await decoders.close()
        assert not any(alive(pid) for pid in pids)

    asyncio.run(run())
    return counters


def alive(pid: int) -> bool:
    """Return True if the process exists, as a zombie too."""
    return Path(f"/proc/{pid}").exists()


def deaths(counters: SharedCounters) -> float:
    """Return the number of counted restarts."""
    return counters.series(DECODERS).values[RESTARTS]


async def value(decoders: DecoderPool, encoded: bytes, function: str = ECHO) -> int:
    """The one value of the picture that comes back."""
    image = await decoders.read(function, SIZE, encoded)
    assert isinstance(image, np.ndarray)
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    return int(image[0, 0])


@pytest.mark.parametrize("count", [1, 3])
def test_everyone_gets_their_own_picture(count: int) -> None:
    """Hundreds at once, by one process or several."""

    async def use(decoders: DecoderPool) -> None:
        sent = [number % 256 for number in range(500)]
        got = await asyncio.gather(*(value(decoders, b"%d" % number) for number in sent))
        assert got == sent
        assert len(decoders.pids) == count

    assert deaths(with_decoders(use, count)) == 0


def test_what_is_wrong_with_a_picture_comes_back_as_it_was_raised() -> None:
    """With its words, in its place; a mistake of ours is an error, and the next is read."""

    async def use(decoders: DecoderPool) -> None:
        blank = await decoders.read(ECHO, SIZE, b"blank")
        large = await decoders.read(ECHO, SIZE, b"large")
        assert isinstance(blank, BlankImage)
        assert str(blank) == "nothing on it"
        assert isinstance(large, ImageTooLarge)
        assert str(large) == "the picture has 100 pixels, the limit is 50"
        with pytest.raises(ReadingFailed, match=r"in echo\nZeroDivisionError$"):
            await decoders.read(ECHO, SIZE, b"mistake")
        assert await value(decoders, b"7") == 7

    assert deaths(with_decoders(use)) == 0


def test_the_pictures_of_a_process_that_is_killed_are_read_by_the_next() -> None:
    """Pictures in flight and waiting are read by the successor; only the log shows it."""

    async def use(decoders: DecoderPool) -> None:
        await value(decoders, b"0")
        (pid,) = decoders.pids
        os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(value(decoders, b"%d" % number)) for number in range(20)]
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.gather(*waiting) == list(range(20))
        assert decoders.pids != [pid]

    assert deaths(with_decoders(use)) == 1


def test_a_picture_that_kills_every_process_is_refused_and_no_other() -> None:
    """The second process that it ends is the last."""

    async def use(decoders: DecoderPool) -> None:
        before, bad, after = await asyncio.gather(
            value(decoders, b"1"), decoders.read(ECHO, SIZE, b"die"), value(decoders, b"2")
        )
        assert (before, after) == (1, 2)
        assert isinstance(bad, UnreadableImage)

    assert deaths(with_decoders(use)) == 2


def test_a_picture_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once is enough; those behind it are read."""
    monkeypatch.setattr(module, "DECODE_TIMEOUT_SECONDS", 0.5)

    async def use(decoders: DecoderPool) -> None:
        bad, after = await asyncio.gather(decoders.read(ECHO, SIZE, b"hang"), value(decoders, b"2"))
        assert isinstance(bad, UnreadableImage)
        assert "took too long" in str(bad)
        assert after == 2

    assert deaths(with_decoders(use)) == 1


@pytest.mark.parametrize("attack", [b"pickle", b"long", b"another size"])
def test_a_process_that_is_taken_over_reaches_nobody(attack: bytes) -> None:
    """A process that sends neither pixels of the right size nor an error's text is replaced."""

    async def use(decoders: DecoderPool) -> None:
        bad, after = await asyncio.gather(
            decoders.read(TAKEN_OVER, SIZE, attack), value(decoders, b"2")
        )
        assert isinstance(bad, UnreadableImage)
        assert after == 2

    assert deaths(with_decoders(use)) == 2


def test_a_process_can_open_nothing_and_has_nothing_of_the_services(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file, no connection, no process, no privilege; and the admin key is not with it."""
    monkeypatch.setenv("FORETELL_ADMIN_KEY", "a key of the operator")

    async def use(decoders: DecoderPool) -> None:
        assert await value(decoders, b"open", TAKEN_OVER) == 0
        (pid,) = decoders.pids
        environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
        names = {line.partition("=")[0] for line in environment if line}
        assert names <= {*module.MALLOC, *module.THREADS, *module.KEPT, "PYTHONPATH"}
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status

    with_decoders(use)


def test_memory_and_processor_time_of_a_picture_are_limited() -> None:
    """A picture that takes more is refused; a process that took too long is replaced, once."""

    async def use(decoders: DecoderPool) -> None:
        for attack, reason in ((b"memory", "more memory"), (b"time", "1 s of processor time")):
            bad = await decoders.read(TAKEN_OVER, SIZE, attack)
            assert isinstance(bad, ImageTooLarge)
            assert reason in str(bad)
        assert await value(decoders, b"2") == 2

    assert deaths(with_decoders(use)) == 1


def test_the_line_has_an_end_and_nobody_waits_for_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refusals name the limit and are counted; those who wait in time are answered."""
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 100)

    async def use(decoders: DecoderPool) -> None:
        await value(decoders, b"0")
        os.kill(decoders.pids[0], signal.SIGSTOP)
        first = asyncio.create_task(value(decoders, b"1"))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(value(decoders, b"%d" % n)) for n in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(DecodersBusy, match="FORETELL_MAX_QUEUE_ROWS"):
            await value(decoders, b"4")
        waiting.pop().cancel()
        await asyncio.sleep(0.01)
        with pytest.raises(DecodersBusy, match="100 bytes"):
            await value(decoders, bytes(100))
        with pytest.raises(DecodersBusy, match="FORETELL_QUEUE_TIMEOUT_SECONDS"):
            await waiting[0]
        os.kill(decoders.pids[0], signal.SIGCONT)
        assert await first == 1
        assert await value(decoders, b"5") == 5

    counters = with_decoders(use, queue=QueueLimits(rows=2, seconds=0.3))
    assert list(counters.series(DECODERS).values) == [0, 2, 1, 0, 0, 0]


def test_where_no_process_can_be_started_pictures_are_refused_until_one_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once, with the reason; and tried again after a moment."""
    monkeypatch.setattr(module, "RESTART_PAUSE_SECONDS", 0.2)

    async def use(decoders: DecoderPool) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/none/python")
            with pytest.raises(DecodersUnavailable, match="/none/python"):
                await value(decoders, b"1")
            with pytest.raises(DecodersUnavailable):
                await value(decoders, b"1")
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await value(decoders, b"1") == 1
                    break
                except DecodersUnavailable:
                    await asyncio.sleep(0.05)

    with_decoders(use)


def test_a_process_that_does_not_begin_once_is_nothing_to_know_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A coincidence: the next does, and reads what was asked meanwhile."""
    monkeypatch.setattr(module, "RESTART_PAUSE_SECONDS", 0.1)
    begin, begun = module._started, []

    def started(settings: DecoderSettings) -> Any:
        begun.append(1)
        if len(begun) == 1:
            raise RuntimeError("whatever it is")
        return begin(settings)

    monkeypatch.setattr(module, "_started", started)

    async def use(decoders: DecoderPool) -> None:
        assert await value(decoders, b"1") == 1

    with_decoders(use)


def test_a_process_that_is_down_is_given_nothing_while_another_is_there() -> None:
    """It has the least to do."""

    async def use(decoders: DecoderPool) -> None:
        await value(decoders, b"0")
        decoders._decoders[0].down = "for a moment"
        for number in range(20):
            assert await value(decoders, b"%d" % number) == number

    with_decoders(use, 2)


def test_what_is_asked_in_the_moment_of_a_death_is_read_and_no_place_is_lost() -> None:
    """The connection is closed already, and nobody has been told."""

    async def use(decoders: DecoderPool) -> None:
        await value(decoders, b"0")
        for number in range(2 * PICTURES_IN_FLIGHT + 1):
            writer = decoders._decoders[0]._writer
            assert writer is not None
            writer.transport.abort()
            assert await value(decoders, b"%d" % number) == number

    assert deaths(with_decoders(use)) == 2 * PICTURES_IN_FLIGHT + 1


def test_the_log_does_not_name_the_request_that_came_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader outlives it."""
    said: list[dict[str, Any]] = []
    log = SimpleNamespace(warning=lambda *_, **__: said.append(get_contextvars()))
    monkeypatch.setattr(module, "log", log)

    async def use(decoders: DecoderPool) -> None:
        with bound_contextvars(request_id="first"):
            await value(decoders, b"0")
        os.kill(decoders.pids[0], signal.SIGKILL)
        await value(decoders, b"0")

    with_decoders(use)
    assert said == [{}]


def test_a_caller_that_leaves_takes_nobody_elses_place() -> None:
    """A cancelled caller's slot is freed once, if its picture waits or is already being read."""

    async def use(decoders: DecoderPool) -> None:
        await value(decoders, b"0")
        asked = [asyncio.create_task(value(decoders, b"%d" % n, SLOW)) for n in range(10)]
        await asyncio.sleep(0.02)
        for task in asked[:8:2]:
            task.cancel()
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert got[1::2] == [1, 3, 5, 7, 9]
        assert got[8] == 8
        for _ in range(3 * PICTURES_IN_FLIGHT):
            assert await value(decoders, b"9") == 9

    with_decoders(use)


def test_signals_for_the_service_do_not_end_its_readers() -> None:
    """Ctrl-C, and systemd's SIGTERM, go to every process; pictures under way are to be read."""

    async def use(decoders: DecoderPool) -> None:
        await value(decoders, b"0")
        pids = decoders.pids
        for ours in (signal.SIGINT, signal.SIGTERM):
            os.kill(pids[0], ours)
        assert await value(decoders, b"1") == 1
        assert decoders.pids == pids

    assert deaths(with_decoders(use)) == 0


@pytest.mark.parametrize("seconds", [0, 0.02, 0.05, 0.1])
def test_signals_for_the_service_do_not_end_readers_that_begin(
    seconds: float, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever they import at the time."""

    async def use(decoders: DecoderPool) -> None:
        decoders.start()
        while not decoders.pids:
            await asyncio.sleep(0)
        await asyncio.sleep(seconds)
        (pid,) = decoders.pids
        for ours in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, ours)
        assert await value(decoders, b"1") == 1
        assert decoders.pids == [pid]

    assert deaths(with_decoders(use)) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("cut", [3, 20])
def test_a_reader_whose_service_is_killed_within_a_frame_ends_quietly(cut: int) -> None:
    """It has nothing to say, and nobody to say it to."""
    ours, theirs = socket.socketpair()
    code = "from service.images.decoders.decoder_process import main; main()"
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-c", code, *SETTINGS.arguments()],
            stdin=theirs.fileno(),
            stderr=subprocess.PIPE,
        ) as process,
    ):
        theirs.close()
        assert ours.recv(1) == READY
        ours.sendall(b"".join((REQUEST.pack(0, 1000), bytes(1000)))[:cut])
        ours.close()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")


def test_readers_end_with_the_service_even_when_it_is_killed() -> None:
    """Nothing is left behind."""
    code = (
        "import asyncio, sys\n"
        "from service.observability.metrics.shared_counters import SharedCounters\n"
        "from service.images.decoders.decoder_process import DecoderSettings\n"
        "from service.images.decoders.pool import DecoderPool\n"
        "from service.settings.limits import QueueLimits\n"
        "async def main():\n"
        f"    decoders = DecoderPool(2, {SETTINGS!r}, QueueLimits(), SharedCounters())\n"
        f"    await decoders.read({ECHO!r}, (28, 28), b'1')\n"
        "    print(*decoders.pids, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        process.kill()
    end = time.monotonic() + 30
    while any(running(pid) for pid in pids):
        assert time.monotonic() < end, "they go on"
        time.sleep(0.05)


def running(pid: int) -> bool:
    """Return True if the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_process_that_answers_does_not_import_what_reads_pictures() -> None:
    """It would cost it 30 MB and a tenth of a second."""
    code = "import service.api.app, sys; print([m for m in ('cv2', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
