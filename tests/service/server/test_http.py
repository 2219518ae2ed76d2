"""Requests that arrive in any form are answered, by either protocol, and in their order."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvloop", reason="uvloop is not for this platform")

from uvicorn import Config
from uvicorn.server import Server as UvicornServer
from uvicorn.server import ServerState

from service.api.app import create_app
from service.server.http_guards import MAX_HEAD_BYTES
from service.server.uvicorn_server import SWITCH_SECONDS, Server, http_options
from service.settings.settings import Settings

HEART = "/v1/heart/predict"


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

    def is_closing(self) -> bool:
        """After that."""
        return self.closed

    def pause_reading(self) -> None:
        """Whoever sends to the protocol decides when."""

    resume_reading = pause_reading


class Connection:
    """A connection to the service in memory, by one of the two protocols."""

    def __init__(self, models_dir: Path, http: str, keep_alive: float = 5) -> None:
        settings = Settings.model_validate(
            {"models_dir": models_dir, "device": "cpu", "http": http}
        )
        app = create_app(settings)
        app.state.registry.refresh()
        options = http_options(settings)
        config = Config(app, **options, log_config=None)
        config.timeout_keep_alive = keep_alive  # type: ignore[assignment]  # tests want less than 1
        config.load()
        self.wire = Wire()
        loop = asyncio.get_running_loop()
        self.protocol = options["http"](config, ServerState(), {}, loop)
        self.protocol.connection_made(self.wire)
        self._answers: list[bytes] = []
        self._unfinished = b""
        self._read = 0

    def send(self, data: bytes) -> None:
        """Hand over what a client sends."""
        self.protocol.data_received(data)

    async def answers(self, count: int) -> list[bytes]:
        """Return the first answers, once there are `count`. Fails after ten seconds."""
        async with asyncio.timeout(10):
            while len(self._answers) < count:
                await asyncio.sleep(0)
                sent = self._unfinished + b"".join(self.wire.packets[self._read :])
                self._read = len(self.wire.packets)
                found = whole_answers(sent)
                self._answers += found
                self._unfinished = sent[sum(map(len, found)) :]
        return self._answers


def whole_answers(sent: bytes) -> list[bytes]:
    """Return the answers that have come to their end; `content-length` says where that is."""
    found = []
    while b"\r\n\r\n" in sent:
        head, _, body = sent.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            break
        found.append(sent[: len(head) + 4 + length])
        sent = body[length:]
    return found


def request(age: object, *, version: str = "1.1", headers: str = "", target: str = HEART) -> bytes:
    """A call for one patient."""
    body = json.dumps({"age": age, "sex": 1}).encode()
    head = f"POST {target} HTTP/{version}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
"""As `curl --http2` and Java's own client send it, whatever they ask for."""


def chunked(whole: bytes) -> bytes:
    """A request with its body in two chunks."""
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:], b""))
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", parts])


def parse(answer: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and content of a whole answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = dict(each.lower().split(": ", 1) for each in lines)
    assert int(headers["content-length"]) == len(body)
    return int(line.split()[1]), headers, json.loads(body)


def test_calls_are_answered_in_order(models_dir: Path, http: str) -> None:
    """Several at once on one connection, good and bad ones, each with its own id."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        ids = [f"X-Request-Id: call-{n}\r\n" for n in range(4)]
        ages = [60, "old", 30, 60]
        calls = [request(age, headers=sent) for age, sent in zip(ages, ids, strict=True)]
        connection.send(b"".join(calls))
        found = [parse(each) for each in await connection.answers(4)]
        assert [status for status, _, _ in found] == [200, 422, 200, 200]
        assert [headers["x-request-id"] for _, headers, _ in found] == [
            f"call-{n}" for n in range(4)
        ]
        first, _, other, again = (content for _, _, content in found)
        assert first == again != other
        assert not connection.wire.closed

    asyncio.run(run())


@pytest.mark.parametrize("cut", [10, 60, 90, 107])
def test_a_direct_call_may_come_in_pieces(models_dir: Path, http: str, cut: int) -> None:
    """However it is cut, it is answered once it is whole."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        whole = request(60)
        connection.send(whole[:cut])
        await asyncio.sleep(0.01)
        assert connection.wire.packets == []
        connection.send(whole[cut:])
        assert parse((await connection.answers(1))[0])[0] == 200

    asyncio.run(run())


@pytest.mark.parametrize(
    "call", [request(60, version="1.0"), request(60, headers="Connection: close\r\n")]
)
def test_a_connection_that_is_to_end_ends_with_the_answer(
    models_dir: Path, http: str, call: bytes
) -> None:
    """HTTP/1.0 does so by itself; the answer says so, once."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        connection.send(call)
        (answer,) = await connection.answers(1)
        assert parse(answer)[1]["connection"] == "close"
        assert answer.count(b"onnection") == 1
        assert connection.wire.closed

    asyncio.run(run())


@pytest.mark.parametrize(
    "target", [f"http://x{HEART}", f"{HEART}#part", "/v1/he%61rt/predict", f"{HEART}?model=heart"]
)
def test_other_spellings_of_a_path_are_answered_alike(
    models_dir: Path, http: str, target: str
) -> None:
    """The fast path knows its paths as they are declared; uvicorn parses any other spelling."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        connection.send(request(60))
        connection.send(request(60, target=target))
        first, second = map(parse, await connection.answers(2))
        assert (first[0], first[2]) == (second[0], second[2])

    asyncio.run(run())


def test_a_client_that_asks_first_is_told_to_go_on(models_dir: Path, http: str) -> None:
    """Expect: 100-continue, as curl sends it for long bodies."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        head, _, body = request(60, headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        (first,) = await connection.answers(1)
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(body)
        assert parse((await connection.answers(2))[1])[0] == 200

    asyncio.run(run())


@pytest.mark.parametrize("target", [HEART, "/v1/he%61rt/predict"])
@pytest.mark.parametrize("form", [bytes, chunked])
@pytest.mark.parametrize("behind_head", [-60, 0, 5, 10**3])
def test_a_wish_for_another_protocol_is_passed_over(
    models_dir: Path, http: str, target: str, form: Callable[[bytes], bytes], behind_head: int
) -> None:
    """The body is read, in one packet with the head or in others, and the connection goes on."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        plain, wishing = request(60, target=target), request(60, target=target, headers=UPGRADE)
        whole = form(wishing)
        cut = whole.index(b"\r\n\r\n") + 4 + behind_head
        for sent in (whole[:cut], whole[cut:], plain):
            connection.send(sent)
            await asyncio.sleep(0.01)
        first, second = map(parse, await connection.answers(2))
        assert (first[0], first[2]) == (second[0], second[2])
        assert first[0] == 200
        assert not connection.wire.closed

    asyncio.run(run())


def test_requests_that_ask_for_other_protocols_may_follow_at_once(
    models_dir: Path, http: str
) -> None:
    """Thousands in one packet, too: with and without a body, each answered in its turn."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        asking = request(60, headers=UPGRADE)
        none = f"GET /livez HTTP/1.1\r\n{UPGRADE}\r\n".encode()
        last = request(60, headers=UPGRADE.replace("Upgrade,", "Upgrade, close,", 1))
        wishes = [asking, none, chunked(asking), request(30)] * 300
        connection.send(b"".join([*wishes, last]))
        found = [parse(each) for each in await connection.answers(len(wishes) + 1)]
        assert {status for status, _, _ in found} == {200}
        a, b, c, d = (content for _, _, content in found[:4])
        assert a == c != d
        assert b == {"status": "live"}
        assert found[-1][1]["connection"] == "close"
        assert connection.wire.closed

    asyncio.run(run())


def test_what_is_wrong_with_such_a_request_is_still_found(models_dir: Path, http: str) -> None:
    """Read anew, its body is checked like any other."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        connection.send(chunked(request(60, headers=UPGRADE)).replace(b"7\r\n", b"z\r\n"))
        status, headers, content = parse((await connection.answers(1))[0])
        assert (status, headers["connection"], content["status"]) == (400, "close", 400)
        assert connection.wire.closed
        connection.protocol.connection_lost(None)  # as the loop does; nothing waits any more
        await asyncio.sleep(0.01)

    asyncio.run(run())


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\n\r\n",
        b"POST /v1/heart/predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_as_a_problem(models_dir: Path, http: str, sent: bytes) -> None:
    """In the form of every error, with an id; then the connection ends."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        connection.send(sent)
        status, headers, content = parse((await connection.answers(1))[0])
        assert status == content["status"] == 400
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert headers["x-request-id"] == content["request_id"]
        assert content["detail"].startswith("expected a request of HTTP/1.1, got")
        assert connection.wire.closed

    asyncio.run(run())


@pytest.mark.parametrize("start", ["GET /livez HTTP/1.1\r\nX-Long: ", "GET /"])
def test_a_head_without_end_is_refused(models_dir: Path, http: str, start: str) -> None:
    """The parser would keep all of it, and copy it with every packet."""

    async def run() -> None:
        connection = Connection(models_dir, http)
        connection.send(start.encode())
        connection.send(b"x" * MAX_HEAD_BYTES)
        assert not connection.wire.packets
        connection.send(b"x")
        connection.send(b"x")  # what was under way already
        status, headers, content = parse((await connection.answers(1))[0])
        assert status == content["status"] == 431
        assert headers["connection"] == "close"
        assert "65,536 bytes" in content["detail"]
        assert connection.wire.closed

    asyncio.run(run())


def test_bodies_do_not_count_as_heads(models_dir: Path, http: str) -> None:
    """Neither a long one nor one that the next request's head follows in its packet."""
    long = b" " * 2 * MAX_HEAD_BYTES
    head = b"POST /v1/heart/predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(long)

    async def run() -> None:
        connection = Connection(models_dir, http)
        connection.send(head[:9])
        connection.send(head[9:] + long[:9])
        connection.send(long[9:] + request(40)[:30])
        connection.send(request(40)[30:])
        refused, answered = map(parse, await connection.answers(2))
        assert (refused[0], answered[0]) == (415, 200)

    asyncio.run(run())


def test_idle_connections_are_closed_and_others_are_not(models_dir: Path, http: str) -> None:
    """Idle since the latest answer; a request that comes in slowly is not idleness."""

    async def run() -> None:
        connection = Connection(models_dir, http, keep_alive=0.2)
        for _ in range(3):
            connection.send(request(60))
            await asyncio.sleep(0.12)
        assert not connection.wire.closed
        whole = request(60)
        connection.send(whole[:-1])
        await asyncio.sleep(0.3)
        assert not connection.wire.closed
        connection.send(whole[-1:])
        assert len(await connection.answers(4)) == 4
        async with asyncio.timeout(5):
            while not connection.wire.closed:
                await asyncio.sleep(0.01)

    asyncio.run(run())


def test_the_fast_protocol_can_be_left_out() -> None:
    """FORETELL_HTTP=uvicorn serves where its module is not there."""
    code = """
import sys
sys.modules["service.server.fast_http"] = None
from service.api.app import create_app
from service.server.uvicorn_server import Server
from service.settings.settings import Settings
settings = Settings(http="uvicorn")
print(Server(create_app(settings), settings).config.http.__name__)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "GuardedProtocol\n"


def test_threads_switch_sooner_from_the_start_of_the_process(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the event loop runs, and for as long as the process does."""
    seen: list[float] = []
    monkeypatch.setattr(UvicornServer, "run", lambda *_: seen.append(sys.getswitchinterval()))
    before = sys.getswitchinterval()
    settings = Settings(models_dir=models_dir, device="cpu")
    try:
        Server(create_app(settings), settings).run()
    finally:
        sys.setswitchinterval(before)
    assert seen == [pytest.approx(SWITCH_SECONDS)]
