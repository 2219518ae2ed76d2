"""Several workers on one port: all answer, none is missed when it dies, all stop together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi.testclient import TestClient
from uvicorn.config import STARTUP_FAILURE

from service.api.app import create_app
from service.observability.worker_slots import WorkerSlot
from service.server.supervisor import MOST_DEATHS, Supervisor, Worker
from service.server.worker import run_worker
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.models.test_versions import publish
from tests.service.server.test_serving import ROW, Service, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers need POSIX")
WAITING = "1 of 2 are ready"
TWO = {"FORETELL_WORKERS": "2"}
KEY = "a key of sixteen characters or more"


def predicted(service: Service) -> list[object]:
    """Return the worker that answered it, for every predict call."""
    return [e["pid"] for e in service.of("request") if e["path"] == "/v1/heart/predict"]


def pids(service: Service) -> set[object]:
    """Return the workers that answered predict calls."""
    return set(predicted(service))


def ask(service: Service) -> int:
    """Call on a new connection. Return the status."""
    return httpx.post(f"{service.url}/v1/heart/predict", json=ROW).status_code


def test_all_workers_answer_on_one_port(models_dir: Path) -> None:
    """A free one, taken by the parent; each worker has models of its own."""
    with serving(models_dir, **TWO) as service:

        def both_answered() -> bool:
            assert ask(service) == 200
            return len(pids(service)) == 2

        wait_until(both_answered)
        assert len(service.of("listening")) == 1
        assert {e["worker_pid"] for e in service.of("worker started")} == pids(service)
        assert len(service.of("model loaded")) == 2 * len(TASKS)
        service.process.terminate()
        assert service.wait() == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares connections out")
def test_connections_that_stay_open_are_shared_out(models_dir: Path) -> None:
    """40 at once: that one of two workers gets fewer than 5 has a chance of one in five million."""
    with serving(models_dir, **TWO) as service, contextlib.ExitStack() as open_ones:
        clients = [open_ones.enter_context(httpx.Client(base_url=service.url)) for _ in range(40)]
        for client in clients:
            assert client.post("/v1/heart/predict", json=ROW).status_code == 200
        wait_until(lambda: len(predicted(service)) == 40)
        counts = Counter(predicted(service))
        assert len(counts) == 2
        assert min(counts.values()) >= 5, counts


def test_two_services_do_not_share_a_port(models_dir: Path) -> None:
    """The second one ends and says why, although its sockets could be bound."""
    with serving(models_dir, **TWO) as service:
        command = [sys.executable, "-m", "service.cli", "serve", "--workers", "2"]
        port = service.url.rpartition(":")[2]
        second = subprocess.run(
            [*command, "--port", port, "--models-dir", str(models_dir)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode != 0
        assert "in use" in second.stdout + second.stderr


def test_none_is_ready_before_all_are(models_dir: Path) -> None:
    """A worker that has loaded every model says that it waits for the others."""
    loaded = [0, 0]
    app = create_app(Settings(models_dir=models_dir, device="cpu"), WorkerSlot(1, loaded))
    with TestClient(app) as client:
        wait_until(lambda: loaded == [0, 1])
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"]) == (503, {"workers": WAITING})
        loaded[0] = 1
        assert client.get("/readyz").status_code == 200


def test_a_worker_with_a_damaged_model_keeps_all_from_being_ready(tmp_path: Path) -> None:
    """Its slot is never marked ready."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    (tmp_path / "heart" / "1" / "model.onnx").write_bytes(b"damaged")
    loaded = [1, 0]
    app = create_app(Settings(models_dir=tmp_path, device="cpu"), WorkerSlot(1, loaded))
    with TestClient(app) as client:
        wait_until(lambda: list(client.get("/readyz").json()["reasons"]) == ["workers", "heart"])
    assert loaded == [1, 0]


def test_a_successor_takes_no_call_before_it_can_answer(models_dir: Path) -> None:
    """Others answer while it loads: the first call that it gets is answered."""
    slot = WorkerSlot(0, [1, 1], replaces=True)
    app = create_app(Settings(models_dir=models_dir, device="cpu"), slot)
    with TestClient(app) as client:
        assert client.post("/v1/heart/predict", json=ROW).status_code == 200


def test_sigterm_under_load_fails_no_request_of_any_worker(models_dir: Path) -> None:
    """Every worker does as one process does: not ready, drained, gone."""
    statuses: list[int] = []
    failures: list[Exception] = []

    def load(url: str) -> None:
        while True:
            with httpx.Client(base_url=url) as client:  # a connection for every few calls
                for _ in range(10):
                    if client.get("/readyz").status_code != 200:
                        return
                    try:
                        statuses.append(client.post("/v1/heart/predict", json=ROW).status_code)
                    except httpx.HTTPError as error:
                        failures.append(error)
                        return

    with serving(models_dir, FORETELL_DRAIN_SECONDS="1.5", **TWO) as service:
        clients = [threading.Thread(target=load, args=(service.url,)) for _ in range(8)]
        for client in clients:
            client.start()
        wait_until(lambda: len(statuses) > 200)
        service.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(timeout=20)
        assert service.wait() == -signal.SIGTERM
    assert not failures
    assert set(statuses) == {200}
    assert len(service.of("draining")) == 2


def test_a_worker_that_dies_is_replaced(models_dir: Path) -> None:
    """The others answer meanwhile, and its successor takes no call before it can answer."""
    with serving(models_dir, **TWO) as service:
        first = service.of("worker started")[0]["worker_pid"]
        assert isinstance(first, int)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: bool(service.of("worker died")))
        answers = [ask(service)]

        def replaced() -> bool:
            answers.append(ask(service))
            return len(service.of("worker ready")) == 3

        wait_until(replaced)
        (died,) = service.of("worker died")
        assert (died["worker_pid"], died["exit"]) == (first, -signal.SIGKILL)
        successor = service.of("worker started")[2]["worker_pid"]

        def successor_answered() -> bool:
            answers.append(ask(service))
            return successor in pids(service)

        wait_until(successor_answered)
        assert set(answers) == {200}


def test_workers_end_with_a_parent_that_is_killed(models_dir: Path) -> None:
    """Nobody would look after them, and the port would stay taken."""
    with serving(models_dir, **TWO) as service:
        workers = [event["worker_pid"] for event in service.of("worker started")]
        service.process.kill()
        service.wait()

        def gone(pid: object) -> bool:
            assert isinstance(pid, int)
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            state = Path(f"/proc/{pid}/stat")
            return state.exists() and state.read_text().split()[2] == "Z"

        wait_until(lambda: all(gone(pid) for pid in workers))


def test_a_second_signal_hurries_all(models_dir: Path) -> None:
    """An operator who is in a hurry does not wait for the drain."""
    with serving(models_dir, FORETELL_DRAIN_SECONDS="300", **TWO) as service:
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(service.of("draining")) == 2)
        service.process.send_signal(signal.SIGTERM)
        assert service.wait() == -signal.SIGTERM


def test_a_port_that_is_taken_starts_no_worker(models_dir: Path) -> None:
    """It ends with a line that says so."""
    with serving(models_dir) as service:
        port = service.url.rpartition(":")[2]
        command = [sys.executable, "-m", "service.cli", "serve", "--workers", "2", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    reason = "Address already in use (--port sets another)"
    assert ended.stderr == f"foretell: FORETELL_PORT: 127.0.0.1:{port}: {reason}\n"


def test_all_workers_follow_the_folder_and_the_admin(tmp_path: Path) -> None:
    """A new version, an unload and a load reach each of them, whichever was asked."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    admin = {"authorization": f"Bearer {KEY}"}
    settings = {"FORETELL_POLL_SECONDS": "0.1", "FORETELL_ADMIN_KEY": KEY, **TWO}
    with serving(tmp_path, **settings) as service:

        def answers() -> set[object]:
            """Return the versions of 20 answers on 20 connections: enough to meet both workers."""
            calls = [httpx.post(f"{service.url}/v1/heart/predict", json=ROW) for _ in range(20)]
            return {c.json()["model"]["version"] if c.is_success else c.status_code for c in calls}

        assert answers() == {"1"}
        publish(tmp_path, "2")
        wait_until(lambda: answers() == {"2"})
        assert len(pids(service)) == 2
        heart = f"{service.url}/v1/models/heart"
        assert httpx.post(f"{heart}/unload", headers=admin).status_code == 200
        wait_until(lambda: answers() == {503})
        assert httpx.post(f"{heart}/load", headers=admin).status_code == 200
        wait_until(lambda: answers() == {"2"})
        assert httpx.post(f"{heart}/rollback", headers=admin).status_code == 200
        wait_until(lambda: answers() == {"1"})


class Ended:
    """A process that has ended, as its sentinel says; its exit status comes a moment later."""

    pid = 1

    def __init__(self) -> None:
        self.sentinel, other = os.pipe()
        os.close(other)
        self.reads = 0

    def join(self) -> None:
        """Until it is there."""
        self.reads = 2

    @property
    def exitcode(self) -> int | None:
        """Not yet there for the first two who ask."""
        self.reads += 1
        return -signal.SIGKILL if self.reads > 2 else None


def test_a_worker_whose_status_is_late_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is seen before its status is there; either is enough to know that it has died."""
    with socket.socket() as listening:
        workers = Supervisor(Settings(workers=1), listening)
        started: list[bool] = []

        def start(slot: WorkerSlot) -> Worker:
            started.append(slot.replaces)
            workers._stopping = len(started) == 2
            process: Any = Ended()
            return Worker(slot, process, time.monotonic() - 60)

        monkeypatch.setattr(workers, "_start", start)
        workers.run()
    assert started == [False, True]


class Dead:
    """A process that has ended with a status."""

    pid = None

    def __init__(self, status: int) -> None:
        self.exitcode = status
        self.sentinel, other = os.pipe()
        os.close(other)

    def join(self) -> None:
        """At once."""


def lives(
    monkeypatch: pytest.MonkeyPatch, statuses: list[int], ready: bool = False
) -> tuple[int, int]:
    """The exit status of two workers' service, and how many it started that ended so, in turn.

    `ready`: both were, once.
    """
    with socket.socket() as listening:
        workers = Supervisor(Settings(workers=2), listening)
        workers._loaded[:] = [int(ready)] * 2
        started = 0

        def start(slot: WorkerSlot) -> Worker:
            nonlocal started
            started += 1
            process: Any = Dead(statuses[min(started, len(statuses)) - 1])
            return Worker(slot, process, time.monotonic() - 60)

        monkeypatch.setattr(workers, "_start", start)
        return workers.run(), started


def test_workers_that_die_before_they_are_ready_are_not_started_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed for memory as they load, say: the service ends, and whoever looks after it is told."""
    status, started = lives(monkeypatch, [-signal.SIGKILL])
    assert status == 1
    # In turn, each slot has had its own; the first to have had enough ends it.
    assert started == 2 + 2 * (MOST_DEATHS - 1)


def test_a_service_that_none_can_start_again_in_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A successor that cannot start ends it only once no other worker answers."""
    killed = [-signal.SIGKILL] * 2
    status, started = lives(monkeypatch, [*killed, STARTUP_FAILURE], ready=True)
    assert status == 1
    assert started > MOST_DEATHS


def test_a_worker_that_cannot_start_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason is: a folder that it may not read, say. No traceback."""

    def create(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/models")

    monkeypatch.setattr("service.api.app.create_app", create)
    monkeypatch.setattr("service.observability.logs.configure_logs", lambda _: None)
    monkeypatch.setattr(os, "setsid", lambda: None)
    monkeypatch.setattr("service.server.worker.SOCKET_PER_WORKER", False)
    with (
        socket.socket() as listening,
        structlog.testing.capture_logs() as events,
        pytest.raises(SystemExit) as ended,
    ):
        run_worker(Settings(), listening, WorkerSlot(0, [0]))
    assert ended.value.code == STARTUP_FAILURE
    (line,) = events
    assert line["reason"] == "[Errno 13] Permission denied: '/models'"
    assert not line["exc_info"]
