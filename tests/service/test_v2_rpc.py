"""What Foretell promises of gRPC beyond the protocol: see tests/conformance/test_grpc.py."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

import service.v2
from service.app import create_app
from service.errors import InvalidPayload, SettingsError
from service.problems import STATUS
from service.settings import Settings
from service.tasks import TASKS
from service.v2.messages import parse
from service.v2.rpc import CODES
from tests.service.test_serving import Service, serving
from tests.waiting import wait_until

FEATURES = len(TASKS["heart"].contract.features)


def address_of(service: Service) -> str:
    return str(service.of("listening for gRPC")[0]["address"])


def rows_of(count: int) -> list[Any]:
    rows = np.zeros((count, FEATURES), np.float32)
    given = grpc_client.InferInput("features", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows)
    return [given]


def test_messages_over_the_limit_are_refused(models_dir: Path) -> None:
    """RESOURCE_EXHAUSTED, by the same limit as bodies; others are answered."""
    settings = {"FORETELL_GRPC_PORT": "0", "FORETELL_MAX_BODY_BYTES": "4096"}
    with serving(models_dir, **settings) as service:
        with grpc_client.InferenceServerClient(address_of(service)) as client:
            assert client.infer("heart", rows_of(10)).as_numpy("probability").shape == (10,)
            with pytest.raises(InferenceServerException) as failed:
                client.infer("heart", rows_of(1000))
        assert failed.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        (answered,) = service.of("call")
    assert (answered["method"], answered["status"]) == ("ModelInfer", "OK")


def test_what_is_not_offered_is_unimplemented(models_dir: Path) -> None:
    """Loading by callers, classification, shared memory, traces."""
    with (
        serving(models_dir, FORETELL_GRPC_PORT="0") as service,
        grpc_client.InferenceServerClient(address_of(service)) as client,
    ):
        classes = [grpc_client.InferRequestedOutput("probability", class_count=2)]
        calls: list[Callable[[], Any]] = [
            lambda: client.load_model("heart"),
            lambda: client.unload_model("heart"),
            lambda: client.get_trace_settings(),
            lambda: client.get_system_shared_memory_status(),
            lambda: client.infer("heart", rows_of(1), outputs=classes),
        ]
        for call in calls:
            with pytest.raises(InferenceServerException) as failed:
                call()
            assert failed.value.status() == "StatusCode.UNIMPLEMENTED"


def test_sigterm_under_load_fails_no_call(models_dir: Path) -> None:
    """Not ready first, answering while it drains; calls under way finish."""
    answered: list[int] = []
    failures: list[Exception] = []

    def load(address: str) -> None:
        with grpc_client.InferenceServerClient(address) as client:
            while client.is_server_ready():
                try:
                    shape = client.infer("heart", rows_of(100)).as_numpy("probability").shape
                    answered.append(*shape)
                except InferenceServerException as error:
                    failures.append(error)
                    return

    settings = {"FORETELL_GRPC_PORT": "0", "FORETELL_DRAIN_SECONDS": "1.5"}
    with serving(models_dir, **settings) as service:
        clients = [threading.Thread(target=load, args=(address_of(service),)) for _ in range(4)]
        for client in clients:
            client.start()
        wait_until(lambda: len(answered) > 100)
        service.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(timeout=20)
        service.wait()
    assert not failures
    assert set(answered) == {100}
    assert not service.of("call crashed")


def test_a_port_that_is_taken_stops_the_service(models_dir: Path) -> None:
    """It does not start, and says which setting is to blame."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = subprocess.run(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
            env=os.environ
            | {
                "FORETELL_MODELS_DIR": str(models_dir),
                "FORETELL_GRPC_PORT": str(other.getsockname()[1]),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode != 0
    assert "FORETELL_GRPC_PORT" in ended.stderr


def test_without_the_extra_the_setting_is_an_error(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At start, with the command that helps; without the setting nothing is missed."""
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    monkeypatch.delitem(sys.modules, "service.v2.rpc", raising=False)
    monkeypatch.delattr(service.v2, "rpc", raising=False)
    with pytest.raises(SettingsError, match=r"pip install 'foretell\[grpc\]'"):
        create_app(Settings(models_dir=models_dir, grpc_port=0))
    create_app(Settings(models_dir=models_dir))


def test_a_message_of_millions_of_fields_is_refused_before_it_is_parsed() -> None:
    """Parsed, 2 bytes of an empty tensor take 90; a few tensors are a message as ever."""
    kind = service_pb2.ModelInferRequest
    for field in (b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00", b"\xf8\x07\x01"):
        with pytest.raises(InvalidPayload, match="at most 1,000 fields"):
            parse(kind, field * 2_000_000)
    message = kind(model_name="heart", raw_input_contents=[b"x" * 300] * 999)
    assert parse(kind, message.SerializeToString()) == message


def test_every_status_has_a_code() -> None:
    """Domain errors by the one table; what is missing is of HTTP alone, or INTERNAL on purpose."""
    assert set(STATUS.values()) - CODES.keys() == {403, 406, 408, 409, 413, 500}
    assert all(isinstance(code, grpc.StatusCode) for code in CODES.values())
