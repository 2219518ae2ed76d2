"""`foretell serve` as a process: start, answer, stop under load."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.tasks import TASKS
from tests.waiting import wait_until

ROW = {"age": 60, "sex": 1}


class Service:
    """A running `foretell serve` on a free port, and what it logged."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.events: list[dict[str, object]] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        wait_until(lambda: bool(self.of("listening")) or process.poll() is not None)
        assert process.poll() is None, self.events
        self.url = str(self.of("listening")[0]["url"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.events.append(json.loads(line))

    def of(self, event: str) -> list[dict[str, object]]:
        """Log lines of one kind."""
        return [found for found in self.events if found.get("event") == event]

    def wait(self) -> int:
        """The exit status, once it has ended and its log is read."""
        status = self.process.wait(timeout=30)
        self._reading.join(timeout=30)
        return status


@contextmanager
def serving(models_dir: Path, **settings: str) -> Iterator[Service]:
    environment = os.environ | {
        "FORETELL_MODELS_DIR": str(models_dir),
        "FORETELL_DEVICE": "cpu",
        "FORETELL_LOG_FORMAT": "json",
        **settings,
    }
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    service = None
    try:
        service = Service(process)
        wait_until(lambda: httpx.get(f"{service.url}/readyz").status_code == 200)
        yield service
    finally:
        process.kill()
        process.wait()
        if service:
            service.wait()  # workers, if any, log until they notice
        assert process.stderr is not None
        process.stderr.close()


def test_logs_are_one_json_object_a_line_with_the_request_id(models_dir: Path) -> None:
    """From the first line to the last; a request's id is in its line."""
    with serving(models_dir) as service:
        httpx.get(f"{service.url}/livez", headers={"x-request-id": "find-me"})
        service.process.terminate()
        service.wait()
        (request,) = [e for e in service.of("request") if e.get("request_id") == "find-me"]
    assert (request["method"], request["path"], request["status"]) == ("GET", "/livez", 200)
    assert [event["model"] for event in service.of("model loaded")] == sorted(TASKS)


def test_sigterm_under_load_fails_no_request(models_dir: Path, http: str) -> None:
    """Not ready first; answering while it drains; then gone, without one failed request.

    The clients do what a load balancer does: they stop once the service says it is not ready.
    """
    statuses: list[int] = []
    failures: list[Exception] = []

    def load(url: str) -> None:
        with httpx.Client(base_url=url) as client:
            while client.get("/readyz").status_code == 200:
                try:
                    statuses.append(client.post("/v1/heart/predict", json=ROW).status_code)
                except httpx.HTTPError as error:
                    failures.append(error)
                    return

    with serving(models_dir, FORETELL_HTTP=http, FORETELL_DRAIN_SECONDS="1.5") as service:
        clients = [threading.Thread(target=load, args=(service.url,)) for _ in range(8)]
        for client in clients:
            client.start()
        wait_until(lambda: len(statuses) > 200)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{service.url}/readyz").status_code == 503)
        late = httpx.post(f"{service.url}/v1/heart/predict", json=ROW)
        for client in clients:
            client.join(timeout=20)
        service.wait()
    assert not failures
    assert set(statuses) == {200}
    assert (late.status_code, late.headers["connection"]) == (200, "close")
    assert not service.of("request crashed")


def test_a_second_signal_stops_at_once(models_dir: Path, http: str) -> None:
    """An operator who is in a hurry does not wait for the drain."""
    with serving(models_dir, FORETELL_HTTP=http, FORETELL_DRAIN_SECONDS="300") as service:
        service.process.send_signal(signal.SIGINT)
        wait_until(lambda: bool(service.of("draining")))
        service.process.send_signal(signal.SIGINT)
        service.wait()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("FORETELL_DEVICE", "gpu", "FORETELL_DEVICE: expected 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ("FORETELL_PROT", "1", "unknown setting FORETELL_PROT"),
    ],
)
def test_bad_settings_stop_it_before_it_starts(variable: str, value: str, message: str) -> None:
    """One line that says what is wrong, no traceback, exit status 1."""
    ended = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve"],
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_caller_who_leaves_in_mid_body_is_no_crash(models_dir: Path, http: str) -> None:
    """At night somebody reads what crashed; who hangs up has not made anything crash."""
    with serving(models_dir, FORETELL_HTTP=http) as service:
        address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
        for path, kind in (("heart", "application/json"), ("digits", "image/png")):
            head = f"POST /v1/{path}/predict HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
            with socket.create_connection(address) as line:
                line.sendall(head.encode() + b"Content-Length: 100\r\n\r\nonly this")
        wait_until(lambda: len(service.of("caller went away")) == 2)
        assert not service.of("request crashed")


def test_a_caller_who_leaves_takes_along_pictures_that_wait(models_dir: Path) -> None:
    """Nobody reads a zip file for the next minute that nobody waits for."""
    picture = (Path(__file__).parents[3] / "docs/use/seven.png").read_bytes()
    with serving(models_dir) as service:
        url = f"{service.url}/v1/digits/predict"
        assert httpx.post(url, files={"file": picture}).status_code == 200
        pid = service.process.pid
        reader = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        os.kill(reader, signal.SIGSTOP)
        many = httpx.Request(
            "POST", url, files=[("file", (f"{n}.png", picture)) for n in range(40)]
        )
        head = [f"POST {many.url.path} HTTP/1.1", *(f"{k}: {v}" for k, v in many.headers.items())]
        with socket.create_connection((many.url.host, many.url.port)) as line:
            line.sendall("\r\n".join([*head, "", ""]).encode() + many.read())
            time.sleep(0.2)
        wait_until(lambda: len(service.of("caller went away")) == 1)
        os.kill(reader, signal.SIGCONT)
        assert httpx.post(url, files={"file": picture}).status_code == 200
        assert not service.of("request crashed")


def test_it_answers_with_standard_error_closed(models_dir: Path) -> None:
    """Some supervisors start a service so; it has no log then, and everything else."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = f'exec "{sys.executable}" -m service.cli serve --port {port} 2>&-'
    environment = os.environ | {"FORETELL_MODELS_DIR": str(models_dir), "FORETELL_DEVICE": "cpu"}
    with subprocess.Popen(["sh", "-c", serve], env=environment) as process:
        try:
            wait_until(lambda: process.poll() is not None or listens(port))
            assert process.poll() is None
            assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
        finally:
            process.kill()


def listens(port: int) -> bool:
    """Return True if connections are accepted at a port."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def started(models_dir: Path, http: str) -> Iterator[Service]:
    """One service for tests that change nothing of it."""
    with serving(models_dir, FORETELL_HTTP=http) as service:
        yield service


def exchanged(service: Service, *packets: bytes) -> bytes:
    """All that comes back for some packets, until the service closes the connection."""
    found = b""
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=30) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            line.sendall(packet)
            time.sleep(0.02)  # or the kernel may join them: then less is tested, and all is well
        while piece := line.recv(2**16):
            found += piece
    return found


TENSOR = {"name": "features", "shape": [1, 13], "datatype": "FP32", "data": [None] * 13}
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v1/heart/predict", "application/json", json.dumps(ROW)),
        ("/v1/heart/predict/batch", "application/x-ndjson", json.dumps(ROW)),
        ("/v2/models/heart/infer", "application/json", json.dumps({"inputs": [TENSOR]})),
    ],
)
def test_a_wish_for_http_2_changes_no_answer(
    started: Service, path: str, kind: str, body: str
) -> None:
    """`curl --http2` and Java's client send it with every call; HTTP/1.1 answers, body and all."""
    wanted = httpx.post(f"{started.url}{path}", content=body, headers={"content-type": kind})
    assert wanted.status_code == 200
    wish = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{wish}"
    sized = f"{head}Content-Length: {len(body)}\r\n\r\n", body
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n", f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    for first, rest in ([part.encode() for part in parts] for parts in (sized, chunked)):
        for packets in (
            [first + rest + first + rest + LAST],
            [first, rest + first, rest, LAST],
            [first[:-9], first[-9:] + rest[:5], rest[5:] + first + rest, LAST],
        ):
            found = exchanged(started, *packets)
            assert found.count(b"HTTP/1.1 200 OK") == found.count(b"HTTP/1.1") == 3
            assert found.count(wanted.content) == 2
            assert found.endswith(b'{"status":"live"}')


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "/v2"]
)
def test_head_is_answered_like_get_without_the_body(started: Service, path: str) -> None:
    """Load balancers ask so; a connection stays usable after it."""
    ask = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    head, *rest = exchanged(started, ask, LAST).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 0" not in head
    assert rest[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest[1:] == [b'{"status":"live"}']
