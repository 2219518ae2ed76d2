"""Promises of gRPC beyond the protocol, for which see tests/conformance/test_grpc.py."""

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
import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

import service.api.open_inference
from service.api.app import create_app
from service.api.open_inference.grpc.definitions import COMPILED, methods
from service.api.open_inference.grpc.messages import parse
from service.api.open_inference.grpc.service import HEALTH
from service.api.status import STATUS
from service.errors import InvalidPayload, SettingsError
from service.server.supervisor import run_workers
from service.server.uvicorn_server import Server
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.api.test_admin import KEY
from tests.service.observability.test_metrics import samples_of, value
from tests.service.server.test_serving import Service, serving
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
    """Loading where there is no admin key, classification, shared memory, traces."""
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


def test_an_admin_loads_and_unloads(tmp_path: Path) -> None:
    """With the key as metadata, as by HTTP; without it, or with another, it is denied."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    settings = {"FORETELL_GRPC_PORT": "0", "FORETELL_ADMIN_KEY": KEY}
    admin = {"authorization": f"Bearer {KEY}"}
    with (
        serving(tmp_path, **settings) as service,
        grpc_client.InferenceServerClient(address_of(service)) as client,
    ):
        client.unload_model("heart", headers=admin)
        assert not client.is_model_ready("heart")
        states = {m.name: m.state for m in client.get_model_repository_index().models}
        assert (states["heart"], states["credit"]) == ("UNAVAILABLE", "READY")
        client.load_model("heart", headers=admin)
        assert client.is_model_ready("heart")
        wrong: list[tuple[str, dict[str, str], dict[str, str], str]] = [
            ("heart", {}, {}, "PERMISSION_DENIED"),
            (
                "heart",
                {"authorization": f"Bearer {KEY[1:]}"},
                {},
                "PERMISSION_DENIED",
            ),
            ("heart", {"authorization": KEY}, {}, "PERMISSION_DENIED"),
            ("nobody", admin, {}, "NOT_FOUND"),
            ("../heart", admin, {}, "NOT_FOUND"),
            ("heart", admin, {"config": "{}"}, "UNIMPLEMENTED"),
        ]
        for name, headers, given, code in wrong:
            with pytest.raises(InferenceServerException) as failed:
                client.load_model(name, headers=headers, **given)
            assert failed.value.status() == f"StatusCode.{code}"
        assert client.is_model_ready("heart")


def test_health_is_that_of_readyz(models_dir: Path) -> None:
    """Health follows /readyz; `liveness` does not depend on models; other names are unknown."""
    settings = {"FORETELL_GRPC_PORT": "0", "FORETELL_DRAIN_SECONDS": "300"}
    with (
        serving(models_dir, **settings) as service,
        grpc.insecure_channel(address_of(service)) as channel,
    ):
        asked, answered = methods(HEALTH)["Check"]
        check = channel.unary_unary(
            f"/{HEALTH}/Check",
            request_serializer=asked.SerializeToString,
            response_deserializer=answered.FromString,
        )

        def status(name: str) -> str:
            found = check(asked(service=name), timeout=20).status
            return str(answered.ServingStatus.Name(found))

        for name in ("", "readiness", "liveness", "inference.GRPCInferenceService"):
            assert status(name) == "SERVING"
        with pytest.raises(grpc.RpcError) as failed:
            status("somebody")
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: status("") == "NOT_SERVING")
        assert status("liveness") == "SERVING"


def test_the_definitions_are_the_published_ones() -> None:
    """Message by message those of Triton's client, which is in this process with them."""
    compiled = FileDescriptorSet.FromString(COMPILED.read_bytes()).file
    ours = {file.name: file for file in compiled if file.package == "inference"}
    for published in (service_pb2, model_config_pb2):
        theirs = FileDescriptorProto.FromString(published.DESCRIPTOR.serialized_pb)
        file = ours.pop(theirs.name)
        without_json_names(file.message_type)  # which protoc derives from the others
        assert file == theirs
    assert not ours


def without_json_names(messages: Any) -> None:
    for message in messages:
        without_json_names(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")


@pytest.mark.parametrize("first", ["service.api.open_inference.grpc.service", "tritonclient.grpc"])
def test_a_process_can_be_a_client_too(first: str) -> None:
    """Whichever is imported first; each has messages of its own."""
    second = ({"service.api.open_inference.grpc.service", "tritonclient.grpc"} - {first}).pop()
    code = (
        f"import {first}, {second}; from service.api.open_inference.grpc.messages import Response; "
    )
    code += "from tritonclient.grpc import service_pb2 as theirs; "
    code += "assert theirs.ModelInferResponse is not Response; "
    code += "print(theirs.ModelInferResponse.FromString(Response(id='x').SerializeToString()).id)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("x\n", "")


def test_calls_are_in_the_metrics(models_dir: Path) -> None:
    """By method and status code."""
    with (
        serving(models_dir, FORETELL_GRPC_PORT="0") as service,
        grpc_client.InferenceServerClient(address_of(service)) as client,
    ):
        for _ in range(3):
            client.infer("heart", rows_of(10))
        with pytest.raises(InferenceServerException):
            client.infer("nobody", rows_of(1))
        found = samples_of(httpx.get(f"{service.url}/metrics").text)
    name, heart = "foretell_grpc_requests_total", {"model": "heart", "version": "1"}
    assert value(found, name, method="ModelInfer", code="OK") == 3
    assert value(found, name, method="ModelInfer", code="NOT_FOUND") == 1
    assert value(found, "foretell_v2_inferences_total", result="success", **heart) == 3
    assert value(found, "foretell_model_rows_total", **heart) == 30


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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_stops_the_service(models_dir: Path, workers: str) -> None:
    """It does not start, and one line says which setting is to blame."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = subprocess.run(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
            env=os.environ
            | {
                "FORETELL_MODELS_DIR": str(models_dir),
                "FORETELL_GRPC_PORT": str(other.getsockname()[1]),
                "FORETELL_WORKERS": workers,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("foretell: FORETELL_GRPC_PORT: 127.0.0.1:")
    assert line.endswith("Address already in use (--grpc-port sets another)")


def test_a_port_that_is_taken_later_stops_every_worker(models_dir: Path) -> None:
    """Between the first look and the workers' own: the parent gives up with them."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = Settings(
            models_dir=models_dir, port=0, grpc_port=other.getsockname()[1], workers=2
        )
        assert run_workers(settings) == 1


def test_without_the_extra_the_setting_is_an_error(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At start, with the command that helps; without the setting nothing is missed."""
    monkeypatch.setitem(sys.modules, "grpc", None)
    for name in ("rpc", "listener"):
        monkeypatch.delitem(sys.modules, f"service.api.open_inference.{name}", raising=False)
        monkeypatch.delattr(service.api.open_inference, name, raising=False)
    settings = Settings(models_dir=models_dir)
    app = create_app(settings)
    Server(app, settings)
    with pytest.raises(SettingsError, match=r"needs grpcio and protobuf"):
        Server(app, settings.model_copy(update={"grpc_port": 0}))


def test_a_message_of_millions_of_fields_is_refused_before_it_is_parsed() -> None:
    """Parsed, 2 bytes of an empty tensor take 90; a few tensors are a message as ever."""
    kind = service_pb2.ModelInferRequest
    for field in (b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00", b"\xf8\x07\x01"):
        with pytest.raises(InvalidPayload, match="at most 1,000 fields"):
            parse(kind, field * 2_000_000)
    message = kind(model_name="heart", raw_input_contents=[b"x" * 300] * 999)
    assert parse(kind, message.SerializeToString()) == message


def test_every_error_has_a_grpc_status() -> None:
    """The table names codes of gRPC; INTERNAL stands for faults of the service alone."""
    assert all(hasattr(grpc.StatusCode, status.grpc) for status in STATUS.values())
    internal = {status.http for status in STATUS.values() if status.grpc == "INTERNAL"}
    assert internal == {500}


def test_calls_have_an_id_in_answers_and_in_the_log(models_dir: Path) -> None:
    """The caller's own, under the same rule as over HTTP, or a new one."""
    with serving(models_dir, FORETELL_GRPC_PORT="0") as service:
        with grpc.insecure_channel(address_of(service)) as channel:
            ready = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
            ids = []
            for sent in ("find-me", "x" * 129):
                _, call = ready.with_call(b"", metadata=[("x-request-id", sent)])
                ids.append(dict(call.trailing_metadata())["x-request-id"])
        wait_until(lambda: len(service.of("call")) == 2)
        logged = [line["request_id"] for line in service.of("call")]
    assert ids == logged
    assert ids[0] == "find-me"
    assert len(ids[1]) == 32
