"""Stops: no call is lost, none takes for ever, and a worker that hangs is replaced."""

import os
import signal
import socket
import time

import httpx
import pytest

from tests.hostile.attacked import MODELS, ROW, Attacked, serving
from tests.hostile.stops import free_port, request, stop_under_load
from tests.waiting import wait_until


@pytest.mark.parametrize("http", ["fast", "uvicorn"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_loses_no_call(workers: str, http: str) -> None:
    """Over HTTP and gRPC, without a drain: each call is answered, or was refused beforehand."""
    load, seconds = stop_under_load(FORETELL_WORKERS=workers, FORETELL_HTTP=http)
    assert not load.losses
    assert {"keep-alive", "one-shot", "v2", "gRPC"} <= set(load.calls)
    assert seconds < 10


def half_a_call(attacked: Attacked) -> socket.socket:
    """Send half a call, so that the service has something to wait for."""
    caller = socket.create_connection(("127.0.0.1", attacked.port))
    caller.sendall(request("/v1/heart/predict", ROW)[:-5])
    time.sleep(0.2)
    return caller


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("drain", ["0", "60"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_it_at_once(workers: str, drain: str, sig: signal.Signals) -> None:
    """Whatever it waits for: a drain, or a call that does not come to its end."""
    grpc = {"FORETELL_GRPC_PORT": str(free_port())}
    settings = {"FORETELL_WORKERS": workers, "FORETELL_DRAIN_SECONDS": drain, **grpc}
    with serving(MODELS, **settings) as attacked, half_a_call(attacked):
        attacked.process.send_signal(sig)
        wait_until(lambda: bool(attacked.of("draining")))
        assert attacked.process.poll() is None
        time.sleep(0.3)
        attacked.process.send_signal(sig)
        start = time.monotonic()
        assert attacked.process.wait(timeout=10) in {-sig, 128 + sig}
        assert time.monotonic() - start < 3


def test_it_is_not_ready_from_the_signal_on() -> None:
    """Without a drain, too, while a call is waited for; that call is answered."""
    with serving() as attacked, half_a_call(attacked) as caller:
        with httpx.Client(base_url=attacked.url) as client:
            assert client.get("/readyz").status_code == 200
            attacked.process.send_signal(signal.SIGTERM)
            wait_until(lambda: bool(attacked.of("draining")))
            answer = client.get("/readyz")
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        caller.sendall(request("/v1/heart/predict", ROW)[-5:])
        assert caller.recv(2**16).startswith(b"HTTP/1.1 200")
        assert attacked.process.wait(timeout=20) == -signal.SIGTERM


def test_a_worker_that_hangs_is_replaced() -> None:
    """It is killed after ten seconds, counted, and the service is whole again."""
    with serving(FORETELL_WORKERS="2") as attacked:
        started = {int(str(one["worker_pid"])) for one in attacked.of("worker started")}
        os.kill(min(started), signal.SIGSTOP)
        wait_until(lambda: bool(attacked.of("worker hangs")), seconds=30)

        def replaced() -> bool:
            try:
                return "restarts_total{worker" in httpx.get(f"{attacked.url}/metrics").text and (
                    len(attacked.of("worker ready")) == 3
                )
            except httpx.HTTPError:
                return False

        wait_until(replaced)
        for _ in range(20):  # new connections, some to each worker
            assert httpx.post(f"{attacked.url}/v1/heart/predict", json=ROW).status_code == 200
        (hung,) = attacked.of("worker hangs")
        assert hung["worker_pid"] == min(started)
        attacked.process.send_signal(signal.SIGTERM)
        assert attacked.process.wait(timeout=20) == -signal.SIGTERM


def test_a_worker_that_hangs_does_not_keep_a_stop_from_ending() -> None:
    """The supervisor kills those that outlive the longest stop of the settings."""
    settings = {"FORETELL_WORKERS": "2", "FORETELL_SHUTDOWN_SECONDS": "1"}
    with serving(MODELS, **settings) as attacked:
        started = [int(str(one["worker_pid"])) for one in attacked.of("worker started")]
        os.kill(started[0], signal.SIGSTOP)
        attacked.process.send_signal(signal.SIGTERM)
        assert attacked.process.wait(timeout=20) == -signal.SIGTERM
        assert attacked.of("workers outlive their stop and are killed")
