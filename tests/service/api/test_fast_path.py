"""Predict calls are answered ahead of the framework, which only knows that they exist."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.contract.answers import ModelRef
from service.contract.tabular import TabularTask
from service.errors import InvalidOutput
from service.models.runtime.session import OnnxSession
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.waiting import wait_until

HEART = {"age": 60, "sex": 1}


def test_predict_calls_do_not_need_the_frameworks_routes(models_dir: Path) -> None:
    """Every predict call is answered with FastAPI's routes taken away, and in the same words."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        before = client.post("/v1/heart/predict", json=HEART)
        app.framework.router.routes.clear()
        assert client.get("/readyz").status_code == 404
        for name in TASKS:
            answer = client.post(f"/v1/{name}/predict", content=b"", headers={})
            assert answer.status_code == 415
            assert answer.headers["content-type"] == "application/problem+json"
        after = client.post("/v1/heart/predict", json=HEART)
        assert after.status_code == 200
        assert after.json() == before.json()
        assert after.headers["content-type"] == "application/json"
        assert after.headers["x-request-id"] != before.headers["x-request-id"]


def test_the_long_way_gives_the_same_answer(models_dir: Path) -> None:
    """Under a root path the table of paths does not match; FastAPI's route answers, and alike."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app) as client, TestClient(app, root_path="/api") as proxied:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        for body in (HEART, {"age": "60"}):
            direct = client.post("/v1/heart/predict", json=body)
            routed = proxied.post("/api/v1/heart/predict", json=body)
            assert routed.status_code == direct.status_code
            assert {**routed.json(), "request_id": ""} == {**direct.json(), "request_id": ""}
            assert routed.headers["content-type"] == direct.headers["content-type"]


def test_other_methods_are_the_frameworks_to_refuse(models_dir: Path) -> None:
    """405 for a GET, as before."""
    with TestClient(create_app(Settings(models_dir=models_dir, device="cpu"))) as client:
        answer = client.get("/v1/heart/predict")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("action", ["predict", "explain"])
@pytest.mark.parametrize("name", ["heart", "digits"])
def test_packed_bodies_are_refused_by_the_name_of_the_header(
    client: TestClient, name: str, action: str
) -> None:
    """A body is refused for its Content-Encoding, compressed or not; `identity` is taken."""
    kind = "application/json" if name == "heart" else "image/png"
    for coding, body in (("gzip", gzip.compress(b"{}")), ("BR", b"{}"), ("identity", b"{}")):
        headers = {"content-type": kind, "content-encoding": coding}
        answer = client.post(f"/v1/{name}/{action}", content=body, headers=headers)
        if coding == "identity":
            assert answer.status_code not in (200, 415)
        else:
            assert answer.status_code == 415
            assert answer.json()["detail"] == (
                f"expected Content-Encoding identity, got {coding!r}"
            )


def test_where_a_model_answers_is_measured_and_shown(models_dir: Path) -> None:
    """Small graphs answer on the event loop; the time that decided it is in /v1/models."""
    with TestClient(create_app(Settings(models_dir=models_dir, device="cpu"))) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        shown = client.get("/v1/models/heart").json()
        assert shown["row_us"] > 0
        assert shown["runs_on_event_loop"] is (shown["row_us"] <= 500)


@pytest.mark.parametrize("name", ["heart", "credit"])
@pytest.mark.parametrize("probability", [0.0, 1e-7, 0.25, 0.5, 1.0, 1 + 1e-7])
def test_a_direct_answer_is_what_the_declared_model_would_write(
    name: str, probability: float
) -> None:
    """Same fields, same order, same values, and the threshold itself is a yes."""
    task = TASKS[name]
    assert isinstance(task, TabularTask)
    model, outputs = (
        ModelRef(name='a "quoted" name', version="1"),
        np.array([probability], np.float32),
    )
    row = np.full((1, len(task.features)), np.nan, np.float32)
    written = task.writer(model, 0.5)({"probability": outputs}, [None] * len(task.features))
    (declared,) = task.answers({"probability": outputs}, row, model, 0.5)
    assert json.loads(written) == json.loads(declared.model_dump_json())
    assert list(json.loads(written)) == list(type(declared).model_fields)
    assert json.loads(written)[task.decision] is (probability >= 0.5)


@pytest.mark.parametrize("probability", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_not_written(probability: float) -> None:
    """JSON knows no NaN, and 1.1 is no probability."""
    task = TASKS["heart"]
    assert isinstance(task, TabularTask)
    write = task.writer(ModelRef(name="heart", version="1"), 0.5)
    with pytest.raises(InvalidOutput):
        write({"probability": np.array([probability], np.float32)}, [None] * len(task.features))


def test_one_row_is_computed_as_a_batch_of_one(models_dir: Path) -> None:
    """In memory of its own, time after time; None and NaN are both not recorded."""
    session = OnnxSession(models_dir / "heart" / "1" / "model.onnx", "cpu")
    for row in ([60.0, 1.0] + [None] * 11, [float(n) for n in range(13)], [np.nan] * 13):
        wanted = session.run(np.array([row], np.float32))["probability"]
        assert session.run_row(row)["probability"].tolist() == wanted.tolist()


def test_with_opentelemetry_set_up_fastapi_is_given_every_call(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI traces what passes through it; answers and errors are the same."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "foretell")
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/heart/predict", json=HEART).json()["model"]["name"] == "heart"
        assert client.get("/v2/models/heart").json()["name"] == "heart"
        assert client.get("/v2/models/nobody").json().keys() == {"error"}
        app.framework.router.routes.clear()
        assert client.post("/v1/heart/predict", json=HEART).status_code == 404

        async def crash(*_: object) -> None:
            raise RuntimeError("inside FastAPI")

        monkeypatch.setattr(app.framework, "middleware_stack", crash)
        assert client.get("/v2").status_code == 500
