"""Promises of /v2 beyond the protocol, for which see tests/conformance."""

import logging
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from service.api.app import create_app
from service.api.open_inference.infer import Timing, encode
from service.api.open_inference.request import MOST_PARTS, InferRequest, RequestedOutput
from service.api.open_inference.rest.compression import accepted, decompress
from service.api.open_inference.rest.paths import ADMIN_PATHS, MODEL_PATHS, PATHS
from service.api.open_inference.statistics import (
    BATCHES,
    INFERRED,
    MOST_BATCH_SIZES,
    ModelStatistics,
    Statistics,
)
from service.api.open_inference.tensors import cast, check_shape, from_bytes, from_json
from service.contract.signature import Tensor
from service.errors import InvalidPayload, PayloadTooLarge, Unsupported
from service.models.runtime.session import OnnxSession
from service.observability.metrics import shared_counters
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.api.test_app import overflowing_graph
from tests.service.observability.test_metrics import requests, samples_of
from tests.waiting import wait_until

INFER = "/v2/models/heart/infer"
FEATURES = len(TASKS["heart"].contract.features)
PATIENT = [60.0, 1.0, *[None] * (FEATURES - 2)]
SIZE = "Inference-Header-Content-Length"


def request_of(*rows: list[Any], **changes: Any) -> dict[str, Any]:
    shape = [len(rows), FEATURES]
    tensor = {"name": "features", "shape": shape, "datatype": "FP32", "data": list(rows)}
    return {"inputs": [tensor | changes]}


def is_v2_error(answer: Any, status: int) -> str:
    """The message; the form is the protocol's alone."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert "x-request-id" in answer.headers
    return str(answer.json()["error"])


def test_errors_are_the_protocols_under_v2_and_problems_elsewhere(client: TestClient) -> None:
    """Errors of the framework, 404 and 405, have the protocol's form as well."""
    assert "/v2/nothing" in is_v2_error(client.get("/v2/nothing"), 404)
    refused = client.delete(INFER)
    is_v2_error(refused, 405)
    assert refused.headers["allow"] == "POST"
    refused = client.post("/v2/health/live")
    is_v2_error(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD"
    for path in ("/v22", "/v2x/models", "/nothing"):
        assert client.get(path).headers["content-type"] == "application/problem+json"


def test_messages_say_field_expected_and_got(client: TestClient) -> None:
    """Messages of /v2 have the form of those of the typed routes."""
    message = is_v2_error(client.post(INFER, json=request_of(PATIENT, shape=[1, 12])), 400)
    assert message == (
        f"inputs[0].shape: expected [-1, {FEATURES}] (-1: any size from 1), got [1, 12]"
    )
    message = is_v2_error(client.post(INFER, json=request_of(PATIENT, shape=[1.0, FEATURES])), 400)
    assert message.endswith(f"got [1.0, {FEATURES}]")
    sized = request_of(PATIENT, data=None, parameters={"binary_data_size": 1e2})
    message = is_v2_error(client.post(INFER, json=sized), 400)
    assert message.endswith("binary_data_size: expected a whole number from 0, got 100.0")
    misspelt = request_of(PATIENT) | {"ouputs": []}
    assert "ouputs" in is_v2_error(client.post(INFER, json=misspelt), 400)


def test_what_is_not_offered_is_501(client: TestClient) -> None:
    """Loading by callers, shared memory, classification, sequences, other codings."""
    for action in ("load", "unload"):
        is_v2_error(client.post(f"/v2/repository/models/heart/{action}"), 501)
    for parameters in ({"shared_memory_region": "x"}, {"sequence_id": 7}):
        is_v2_error(client.post(INFER, json=request_of(PATIENT, parameters=parameters)), 501)
    outputs = [{"name": "probability", "parameters": {"classification": 2}}]
    is_v2_error(client.post(INFER, json=request_of(PATIENT) | {"outputs": outputs}), 501)
    headers = {"content-encoding": "br"}
    is_v2_error(client.post(INFER, content=b"x", headers=headers), 501)


def test_bodies_over_the_limit_are_413(models_dir: Path) -> None:
    """By announcement, while they arrive, and decompressed; each is counted by its route."""
    settings = Settings(models_dir=models_dir, device="cpu", max_body_bytes=2048)
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
        bomb = zlib.compress(b" " * 4096)
        assert len(bomb) < 2048
        for answer in (
            client.post(INFER, content=b" " * 4096),
            client.post(INFER, content=iter([b" " * 1024] * 9)),
            client.post(INFER, content=bomb, headers={"content-encoding": "deflate"}),
        ):
            assert "2,048 bytes" in is_v2_error(answer, 413)
        counted = samples_of(client.get("/metrics").text)
    assert requests(counted, "/v2/models/{name}/infer", 413) == 3


def test_a_broken_model_is_unavailable_and_the_others_answer(tmp_path: Path) -> None:
    """Its version is listed with the reason; its calls are 503; the server is not ready."""
    for name in TASKS:
        write_artifact(tmp_path, TASKS[name])
    write_artifact(tmp_path, TASKS["heart"], version="2")
    (tmp_path / "credit" / "1" / "model.onnx").write_bytes(b"damaged")
    with TestClient(create_app(Settings(models_dir=tmp_path, device="cpu"))) as client:
        assert client.get("/v2/health/live").status_code == 200
        wait_until(lambda: client.get("/v2/models/heart/ready").status_code == 200)
        wait_until(lambda: list(client.get("/readyz").json()["reasons"]) == ["credit"])
        assert "credit: " in is_v2_error(client.get("/v2/health/ready"), 503)
        for path in ("", "/ready", "/config", "/stats"):
            refused = client.get(f"/v2/models/credit{path}")
            assert "sha256" in is_v2_error(refused, 503)
            assert refused.headers["retry-after"] == "1"
        listed = client.post("/v2/repository/index").json()
        states = {(entry["name"], entry.get("version")): entry["state"] for entry in listed}
        assert states["credit", "1"] == "UNAVAILABLE"
        assert (states["heart", "1"], states["heart", "2"]) == ("UNAVAILABLE", "READY")
        assert client.get("/v2/models/heart").json()["versions"] == ["2"]
        is_v2_error(client.get("/v2/models/heart/versions/1"), 404)
        assert len(client.get("/v2/models/stats").json()["model_stats"]) == len(TASKS) - 1


def test_a_draining_server_is_live_and_not_ready(models_dir: Path) -> None:
    """A draining server is live, and not ready as /readyz says."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
        app.state.begin_drain()
        assert client.get("/v2/health/live").json() == {"live": True}
        is_v2_error(client.get("/v2/health/ready"), 503)


def test_a_model_that_answers_nan_is_a_500_unless_the_input_broke_the_contract(
    tmp_path: Path,
) -> None:
    """Arrays are not checked on the way in: what they make is, on the way out."""
    write_artifact(tmp_path, TASKS["heart"], graph=overflowing_graph())
    large = [60.0, 1.0, None, 300.0, 1000.0, *PATIENT[5:]]
    with TestClient(create_app(Settings(models_dir=tmp_path, device="cpu"))) as client:
        wait_until(lambda: client.get("/v2/models/heart/ready").status_code == 200)
        assert client.post(INFER, json=request_of(PATIENT)).status_code == 200
        message = is_v2_error(client.post(INFER, json=request_of(PATIENT, large)), 500)
        assert "row 1 is not a probability" in message
        broken = [*large[:4], 100_000.0, *PATIENT[5:]]
        message = is_v2_error(client.post(INFER, json=request_of(PATIENT, broken)), 400)
        assert message.startswith("inputs[0] at [1, 4] (chol): ")
        counted = client.get("/v2/models/heart/stats").json()["model_stats"][0]["inference_stats"]
        assert (counted["success"]["count"], counted["fail"]["count"]) == (1, 2)


def test_a_crash_is_an_error_without_a_word_of_the_inside(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in the protocol's form, and the log has it."""

    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    with TestClient(create_app(Settings(models_dir=models_dir, device="cpu"))) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200)
        monkeypatch.setattr(OnnxSession, "run", fail)
        with caplog.at_level(logging.ERROR):
            answer = client.post(INFER, json=request_of(PATIENT))
    message = is_v2_error(answer, 500)
    assert "secret" not in message
    assert answer.headers["x-request-id"] in message


def test_the_docs_list_every_path(client: TestClient) -> None:
    """With the summary of its call; the example of an inference is one that is answered."""
    paths = client.get("/openapi.json").json()["paths"]
    listed = {path for path in paths if path.startswith("/v2")}
    assert {"/v2", "/v2/models/{name}", "/v2/models/{name}/versions/{version}/infer"} <= listed
    assert len(listed) == len(PATHS) + 2 * len(MODEL_PATHS) + len(ADMIN_PATHS)
    declared = paths["/v2/models/{name}/infer"]["post"]
    assert declared["summary"] == "Inference, with JSON or binary tensors"
    example = declared["requestBody"]["content"]["application/json"]["example"]
    assert client.post(INFER, json=example).json()["id"] == example["id"]


def test_data_go_out_without_a_copy(client: TestClient) -> None:
    """The bytes behind the JSON are those of the session's own arrays."""
    served = client.app.state.registry.default_of("heart")  # type: ignore[attr-defined]
    outputs = served.session.run(np.zeros((3, FEATURES), np.float32))
    wanted = [RequestedOutput("probability", binary=True)]
    _, (data,) = encode(served, InferRequest(None, (), (), binary=True), wanted, outputs)
    assert np.shares_memory(np.frombuffer(data, np.uint8), outputs["probability"])


def test_a_body_of_millions_of_lists_is_refused_before_it_is_read(client: TestClient) -> None:
    """Each would be an object of its own and hold up everyone else; numbers are quick."""
    data = b'{"inputs": [' + b"[]," * (MOST_PARTS + 1) + b"1]}"
    assert "flat, or binary" in is_v2_error(client.post(INFER, content=data), 400)


def test_it_answers_under_a_root_path(models_dir: Path) -> None:
    """Behind a proxy that keeps the prefix."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app, root_path="/api") as client:
        wait_until(lambda: client.get("/api/v2/health/ready").status_code == 200)
        assert client.post(f"/api{INFER}", json=request_of(PATIENT)).status_code == 200
        is_v2_error(client.get("/api/v2/nothing"), 404)


def test_a_batch_too_long_for_the_event_loop_gets_the_same_answer(client: TestClient) -> None:
    """Short ones are answered on the event loop, long ones in a thread."""
    alone = client.post(INFER, json=request_of(PATIENT)).json()["outputs"][0]["data"]
    many = client.post(INFER, json=request_of(*[PATIENT] * 5000)).json()["outputs"][0]
    assert many["shape"] == [5000]
    assert many["data"] == pytest.approx(alone * 5000, abs=1e-6)


ROWS = Tensor(name="x", dtype="float32", shape=(None, 2))
PIXELS = Tensor(name="x", dtype="uint8", shape=(None,))
COUNTS = Tensor(name="x", dtype="int64", shape=(None,))


@pytest.mark.parametrize(
    ("tensor", "values"),
    [
        (ROWS, np.array([[0.5, np.nan]], np.float64)),
        (ROWS, np.array([[np.inf, -np.inf]], np.float16)),
        (ROWS, np.array([[2**24, -(2**24)]], np.int32)),
        (ROWS, np.array([[2**62, 2**40]], np.uint64)),
        (PIXELS, np.array([0, 255], np.int64)),
        (PIXELS, np.array([0.0, 255.0], np.float32)),
        (COUNTS, np.array([2**63 - 1], np.uint64)),
        (COUNTS, np.array([-(2.0**63)], np.float64)),
    ],
)
def test_casts_keep_every_value(tensor: Tensor, values: NDArray[Any]) -> None:
    """The same numbers in the graph's type."""
    result = cast(values, tensor, "x")
    assert result.dtype == tensor.dtype
    np.testing.assert_array_equal(result.astype(np.longdouble), values.astype(np.longdouble))


@pytest.mark.parametrize(
    ("tensor", "values"),
    [
        (ROWS, np.array([0.1], np.float64)),
        (ROWS, np.array([1e300], np.float64)),
        (ROWS, np.array([2**24 + 1], np.int32)),
        (ROWS, np.array([2**63 - 1], np.int64)),
        (ROWS, np.array([2**64 - 1], np.uint64)),
        (PIXELS, np.array([256], np.int64)),
        (PIXELS, np.array([-1], np.int8)),
        (PIXELS, np.array([0.5], np.float32)),
        (PIXELS, np.array([np.nan], np.float32)),
        (PIXELS, np.array([np.inf], np.float16)),
        (COUNTS, np.array([2**63], np.uint64)),
        (COUNTS, np.array([2.0**63], np.float64)),
    ],
)
def test_casts_that_would_change_a_value_are_refused(tensor: Tensor, values: NDArray[Any]) -> None:
    """On every processor alike, whatever its own cast makes of them."""
    with pytest.raises(InvalidPayload, match="holds exactly"):
        cast(values, tensor, "x")


def test_bytes_become_an_array_without_a_copy() -> None:
    """A view, read-only; only bytes at an odd address are moved."""
    data = np.arange(6, dtype=np.float32).tobytes()
    array = from_bytes(memoryview(data), (3, 2), np.dtype("<f4"))
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    odd = b"x" + data
    moved = from_bytes(memoryview(odd)[1:], (3, 2), np.dtype("<f4"))
    assert moved.flags.aligned
    np.testing.assert_array_equal(moved, array)


def test_json_numbers_are_read_strictly() -> None:
    """Null is NaN for floats only; truths, fractions of whole numbers and overflow are refused."""
    floats = from_json([1, None, 2.5, float("nan")], (2, 2), np.dtype("<f4"), "x")
    np.testing.assert_array_equal(floats, np.array([[1, np.nan], [2.5, np.nan]], np.float32))
    for data, dtype in (
        ([True], "<f4"),
        ([1e39], "<f4"),
        ([10**400], "<f8"),
        ([float("inf")], "<f8"),
        ([None], "u1"),
        ([1.0], "u1"),
        ([256], "u1"),
        ([-1], "<u8"),
        (["1"], "<f4"),
    ):
        with pytest.raises(InvalidPayload):
            from_json(data, (1,), np.dtype(dtype), "x")


def test_a_batch_of_no_rows_is_refused() -> None:
    """Graphs differ in what they make of it: one of ours fails."""
    with pytest.raises(InvalidPayload, match="any size from 1"):
        check_shape(ROWS, [0, 2], "x")


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip", "gzip"),
        ("deflate, gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip; q=0.0, deflate;q=0", None),
        (";;,,=", None),
    ],
)
def test_answers_are_in_a_coding_that_the_caller_reads(
    header: str | None, coding: str | None
) -> None:
    """By Accept-Encoding; q=0 is a refusal."""
    assert accepted(header) == coding


def test_decompression_stops_at_the_limit() -> None:
    """Whatever the body would become."""
    bomb = zlib.compress(b" " * 10_000)
    assert decompress(bomb, "deflate", 10_000) == b" " * 10_000
    with pytest.raises(PayloadTooLarge):
        decompress(bomb, "deflate", 9_999)
    with pytest.raises(Unsupported):
        decompress(bomb, "br", 10_000)


def test_statistics_of_batch_sizes_do_not_grow_without_end() -> None:
    """A caller chooses the size; beyond 64, by REST and gRPC together, only the sums count it."""
    counted = shared_counters.SharedCounters()
    counts = ModelStatistics(counted, "heart", "1")
    for rows in range(1, MOST_BATCH_SIZES + 100):
        counts.succeeded(Timing(rows, 1, 1, 1, rows), 5)
    over_grpc = ModelStatistics(counted, "heart", "1")
    over_grpc.succeeded(Timing(1, 0, 0, 0, 1), 0)
    over_grpc.succeeded(Timing(10**6, 0, 0, 0, 10**6), 0)
    assert len(counted.totals(BATCHES)) == MOST_BATCH_SIZES
    assert counted.total(BATCHES, "heart", "1", "1")[0] == 2
    total = dict(zip(INFERRED.columns, counted.total(INFERRED, "heart", "1"), strict=True))
    assert total["executions"] == total["success_count"] == MOST_BATCH_SIZES + 101
    assert total["queue_ns"] == 2 * (MOST_BATCH_SIZES + 99)


def test_statistics_are_those_of_all_workers(client: TestClient) -> None:
    """Whichever is asked: sums, the latest time, and batches of the same size together."""
    places = [bytearray(shared_counters.SIZE), bytearray(shared_counters.SIZE)]
    boards = [shared_counters.SharedCounters(places, number) for number in range(2)]
    app: Any = client.app
    served = app.state.registry.default_of("heart")
    for each in boards:
        Statistics(each).of(served).succeeded(Timing(3, 10, 20, 30, 3), 100)
    Statistics(boards[1]).of(served).failed(7)
    for each in boards:
        shown = Statistics(each).shown(served)
        assert (shown["inference_count"], shown["execution_count"]) == (6, 2)
        assert shown["inference_stats"]["success"] == {"count": 2, "ns": 200}
        assert shown["inference_stats"]["queue"] == {"count": 2, "ns": 80}
        assert shown["inference_stats"]["fail"] == {"count": 1, "ns": 7}
        (batch,) = shown["batch_stats"]
        assert (batch["batch_size"], batch["compute_infer"]) == (3, {"count": 2, "ns": 40})
        assert abs(shown["last_inference"] / 1000 - time.time()) < 60


@pytest.mark.parametrize(
    "path",
    [
        "systemsharedmemory/status",
        "cudasharedmemory/region/x/register",
        "logging",
        "trace/setting",
        "models/heart/trace/setting",
        "models/heart/versions/1/generate_stream",
    ],
)
def test_extensions_that_are_not_offered_are_501(client: TestClient, path: str) -> None:
    """Clients of Triton know them; what nobody knows is 404."""
    for method in ("GET", "POST"):
        answer = client.request(method, f"/v2/{path}")
        assert (answer.status_code, list(answer.json())) == (501, ["error"])
    assert client.get(f"/v2/un{path}").status_code == 404
