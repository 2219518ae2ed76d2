"""Connections held for nothing, and bytes that are neither head nor body."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import get_args

import httpx
import pytest

from service.api.app import create_app
from service.server import http_guards
from service.server.sockets import connection_limit
from service.server.uvicorn_server import Server
from service.settings.settings import Settings
from tests.hostile.attacked import MODELS, ROW, Attacked, serving, watching
from tests.hostile.stops import request
from tests.waiting import wait_until

HEAD = b"POST /v1/heart/predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BODY = json.dumps(ROW).encode()
HTTP = get_args(Settings.model_fields["http"].annotation)


@contextmanager
def running(**settings: object) -> Iterator[str]:
    """Run the server in a thread of this process, and return its URL."""
    interval = sys.getswitchinterval()
    chosen = Settings(port=0, models_dir=MODELS, device="cpu", **settings)  # type: ignore[arg-type]
    server = Server(create_app(chosen), chosen)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        yield url
    finally:
        server.should_exit = True
        thread.join()
        sys.setswitchinterval(interval)


def connect(url: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    pieces = []
    try:
        while piece := connection.recv(2**16):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


@pytest.mark.parametrize("http", HTTP)
def test_who_does_not_go_on_is_not_waited_for(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a head and a body that trickles are 408; a connection without a request is closed."""
    monkeypatch.setattr(http_guards, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(http_guards, "BODY_SECONDS", 1.0)
    with running(http=http, keepalive_seconds=1) as url, ExitStack() as open_ones:
        silent, head, body, steady = (open_ones.enter_context(connect(url)) for _ in range(4))
        head.sendall(HEAD)
        body.sendall(HEAD + b"content-length: 1000\r\n\r\n{")
        steady.sendall(HEAD + b"content-length: %d\r\n\r\n" % (2000 + len(BODY)))
        for _ in range(10):  # 400 bytes a second
            steady.sendall(b" " * 200)
            time.sleep(0.5)
        steady.sendall(BODY)
        assert steady.recv(2**16).startswith(b"HTTP/1.1 200")
        assert read_all(silent) == b""
        for connection, what in ((head, b"a whole head within"), (body, b"bytes a second of")):
            answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 408"), answer
            assert what in answer
        metrics = httpx.get(f"{url}/metrics").text
    assert 'foretell_http_refused_total{reason="head_time"} 1.0' in metrics
    assert 'foretell_http_refused_total{reason="body_time"} 1.0' in metrics


@pytest.mark.parametrize("http", HTTP)
def test_an_answer_that_nobody_takes_is_cut(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one of a batch, which is on disk until then; its place is free afterwards."""
    monkeypatch.setattr(http_guards, "ANSWER_SECONDS", 1.0)
    call = request("/v1/heart/predict/batch?keep=all", [ROW] * 100_000)
    with running(http=http, max_bulk_jobs=1) as url, connect(url) as deaf:
        sending = threading.Thread(target=deaf.sendall, args=(call,))
        sending.start()
        sending.join()

        def cut() -> bool:
            metrics = httpx.get(f"{url}/metrics").text
            return 'foretell_http_refused_total{reason="answer_time"} 1.0' in metrics

        wait_until(cut)
        again = httpx.post(f"{url}/v1/heart/predict/batch", json=[ROW])
        assert again.status_code == 200


@pytest.mark.parametrize("http", HTTP)
def test_one_connection_too_many_is_told_so_and_health_answers(http: str) -> None:
    """503 with Retry-After; once others leave, calls are answered again."""
    with running(http=http, max_connections=8) as url:
        with ExitStack() as open_ones:
            held = [open_ones.enter_context(connect(url)) for _ in range(9)]
            held[0].sendall(request("/v1/heart/predict", ROW))
            assert held[0].recv(2**16).startswith(b"HTTP/1.1 200")
            refused = httpx.post(f"{url}/v1/heart/predict", json=ROW)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "8 connections are open" in refused.json()["detail"]
            assert httpx.get(f"{url}/livez").status_code == 200
            assert httpx.get(f"{url}/readyz").status_code == 200
        wait_until(lambda: httpx.post(f"{url}/v1/heart/predict", json=ROW).status_code == 200)


@pytest.mark.parametrize("http", HTTP)
def test_a_fault_of_the_servers_own_is_no_fault_of_the_callers(
    http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault between two packets is a 500 with an id that the log has, not a 400."""
    with running(http=http) as url:

        def crash(*_: object) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(http_guards.GuardedProtocol, "on_body", crash)
        answer = httpx.post(f"{url}/v1/heart/predict", json=ROW)
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.json()["detail"]


def test_connections_leave_descriptors_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1,024 descriptors there are fewer connections than that."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
    assert connection_limit(Settings()) == 1024 - 128


@pytest.fixture(scope="module", params=HTTP)
def attacked(request: pytest.FixtureRequest) -> Iterator[Attacked]:
    """A service with the settings that a user has by default."""
    with serving(FORETELL_HTTP=request.param) as service:
        yield service


def one_trailer() -> Iterator[bytes]:
    yield b"x: "
    yield from (b"a" * 2**16 for _ in range(400))


def many_trailers() -> Iterator[bytes]:
    yield from (b"".join(b"x%d: y\r\n" % n for n in range(4000)) for _ in range(400))


def extensions() -> Iterator[bytes]:
    yield b"1;a="
    yield from (b"a" * 2**16 for _ in range(400))


@pytest.mark.parametrize("tail", [one_trailer, many_trailers, extensions])
def test_bytes_that_are_no_body_are_limited(
    attacked: Attacked, tail: Callable[[], Iterator[bytes]]
) -> None:
    """Trailers and extensions of chunks: 431 after 64 KiB, not 26 MB kept and copied."""
    end = b"" if tail is extensions else b"0\r\n"
    with watching(attacked) as watch, connect(attacked.url) as caller:
        caller.sendall(CHUNKED + b"%x\r\n%b\r\n" % (len(BODY), BODY) + end)
        try:
            for piece in tail():
                caller.sendall(piece)
        except OSError:  # refused meanwhile
            pass
        time.sleep(0.5)
    watch.check()
    (*_, event) = attacked.of("connection refused")
    assert "trailers" in str(event["reason"])


def test_trailers_of_an_honest_caller_do_no_harm(attacked: Attacked) -> None:
    """A checksum behind the body, say."""
    with connect(attacked.url) as caller:
        caller.sendall(CHUNKED + b"%x\r\n%b\r\n0\r\ndigest: abc\r\n\r\n" % (len(BODY), BODY))
        assert caller.recv(2**16).startswith(b"HTTP/1.1 200")


def test_unfinished_calls_in_json_are_refused_as_they_come(attacked: Attacked) -> None:
    """Thirty callers who announce 32 MiB each and send all but the end of it."""
    announced = HEAD + b"content-length: %d\r\n\r\n" % (32 * 2**20)
    with watching(attacked) as watch, ExitStack() as open_ones:
        callers = [open_ones.enter_context(connect(attacked.url)) for _ in range(30)]
        for caller in callers:
            caller.sendall(announced + b"{" * 2**17)
            assert b" 413 " in caller.recv(2**16)
        for caller in callers[:5]:
            caller.sendall(b" " * 30 * 2**20)
    watch.check()


def test_a_connection_that_was_paused_is_read_before_it_is_closed(attacked: Attacked) -> None:
    """A machine that stands still for longer than the time of idle connections loses no call."""
    import os
    import signal

    with serving(FORETELL_KEEPALIVE_SECONDS="2") as service, connect(service.url) as caller:
        for pause in (0, 3, 3):
            if pause:
                time.sleep(0.3)  # it waits, with nothing left of the call before
                os.kill(service.process.pid, signal.SIGSTOP)
            caller.sendall(request("/v1/heart/predict", ROW))
            if pause:
                time.sleep(pause)
                os.kill(service.process.pid, signal.SIGCONT)
            assert caller.recv(2**16).startswith(b"HTTP/1.1 200")
