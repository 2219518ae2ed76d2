"""Health, models, ids, limits, errors and documentation, which every route shares."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from fastapi.testclient import TestClient
from onnx import helper

from service.api.app import create_app
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import graph_of, write_artifact
from tests.waiting import wait_until


def test_live_without_any_model(tmp_path: Path) -> None:
    """Liveness never depends on models; readiness says what is missing."""
    with TestClient(create_app(Settings(models_dir=tmp_path))) as client:
        assert client.get("/livez").json() == {"status": "live"}
        wait_until(lambda: "no model" in client.get("/readyz").json()["reasons"]["heart"])
        assert client.get("/readyz").status_code == 503
        assert set(client.get("/readyz").json()["reasons"]) == set(TASKS)


def test_one_broken_model_leaves_the_others_serving(tmp_path: Path) -> None:
    """Readiness names the broken one; its route says 503 with Retry-After, the rest answers."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    (tmp_path / "credit" / "1" / "model.onnx").write_bytes(b"damaged")
    with TestClient(create_app(Settings(models_dir=tmp_path, device="cpu"))) as client:
        row = {"age": 60, "sex": 0}
        wait_until(lambda: client.post("/v1/heart/predict", json=row).status_code == 200)
        wait_until(lambda: list(client.get("/readyz").json()["reasons"]) == ["credit"])
        assert "sha256" in client.get("/readyz").json()["reasons"]["credit"]
        example = TASKS["credit"].payload.model_config["json_schema_extra"]["example"]  # type: ignore[attr-defined]
        answer = client.post("/v1/credit/predict", json=example)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert client.get("/v1/models/credit").json()["ready"] is False


def test_models_are_listed_with_provider_in_use(client: TestClient) -> None:
    """Name, version, versions, provider and load time of each; the card of one."""
    listed = client.get("/v1/models").json()
    assert [model["name"] for model in listed] == sorted(TASKS)
    assert all(model["provider"] == "CPUExecutionProvider" for model in listed)
    heart = client.get("/v1/models/heart").json()
    assert heart["version"] == "1"
    assert heart["versions"] == ["1"]
    assert heart["load_ms"] > 0
    assert [f["name"] for f in heart["card"]["contract"]["features"]][:2] == ["age", "sex"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/v1/heart/predict", 405),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_paths_and_methods_that_do_not_exist_are_problems(
    client: TestClient, method: str, path: str, status: int
) -> None:
    """The framework's own errors have the same form as ours."""
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_callers_request_id_comes_back(client: TestClient) -> None:
    """In the header and in the log; one that cannot be trusted in either is replaced."""
    sent = client.get("/livez", headers={"x-request-id": "abc-123"})
    assert sent.headers["x-request-id"] == "abc-123"
    made = client.get("/livez", headers={"x-request-id": "x" * 500})
    assert len(made.headers["x-request-id"]) == 32


def test_a_body_over_the_limit_is_413(models_dir: Path) -> None:
    """By its announced length, or once that many bytes have arrived without one."""
    settings = Settings(models_dir=models_dir, device="cpu", max_body_bytes=2048)

    def chunks() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * 1024

    with TestClient(create_app(settings)) as client:
        headers = {"content-type": "application/json"}
        announced = client.post("/v1/heart/predict", content=b" " * 4096, headers=headers)
        arriving = client.post("/v1/heart/predict", content=chunks(), headers=headers)
    for answer in (announced, arriving):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert "2,048 bytes" in answer.json()["detail"]


def test_a_crash_is_a_problem_with_an_id_and_is_logged(
    models_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a route answers 500 as problem+json without a word of the inside."""
    app = create_app(Settings(models_dir=models_dir))

    @app.framework.get("/bug")
    def bug() -> None:
        raise RuntimeError("secret")

    with caplog.at_level(logging.ERROR), TestClient(app) as client:
        answer = client.get("/bug")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def overflowing_graph() -> onnx.ModelProto:
    """Sound on its golden inputs; on large ones it subtracts infinity from infinity."""
    model = graph_of(TASKS["heart"])
    *nodes, reshape = model.graph.node
    reshape.input[0] = "brittle"
    del model.graph.node[:]
    model.graph.node.extend(
        [
            *nodes,
            helper.make_node("Exp", ["column"], ["once"]),
            helper.make_node("Exp", ["once"], ["twice"]),
            helper.make_node("Sub", ["twice", "twice"], ["zero_or_nan"]),
            helper.make_node("Add", ["squashed", "zero_or_nan"], ["brittle"]),
            reshape,
        ]
    )
    return model


def test_a_model_that_answers_nan_is_a_500_not_a_null(tmp_path: Path) -> None:
    """NaN would become null with status 200 on its way through pydantic; the service refuses."""
    write_artifact(tmp_path, TASKS["heart"], graph=overflowing_graph())
    with TestClient(create_app(Settings(models_dir=tmp_path, device="cpu"))) as client:
        row = {"age": 60, "sex": 1}
        wait_until(lambda: client.post("/v1/heart/predict", json=row).status_code == 200)
        answer = client.post("/v1/heart/predict", json=row | {"chol": 1000, "trestbps": 300})
    assert answer.status_code == 500
    assert "not a probability" in answer.json()["detail"]


def test_docs_show_units_bounds_categories_and_examples(client: TestClient) -> None:
    """The OpenAPI schema has units, bounds, categories and examples."""
    schema = client.get("/openapi.json").json()
    patient = schema["components"]["schemas"]["Patient"]
    assert patient["properties"]["age"]["unit"] == "years"
    assert patient["properties"]["age"]["minimum"] == 18
    assert "fluoroscopy" in patient["properties"]["ca"]["description"]
    assert "reversible defect" in json.dumps(patient["properties"]["thal"])
    assert patient["example"]["age"] == 57
    assert patient["required"] == ["age", "sex"]
    responses = schema["paths"]["/v1/heart/predict"]["post"]["responses"]
    assert "application/problem+json" in responses["422"]["content"]
    assert "Problem" in schema["components"]["schemas"]
    content = schema["paths"]["/v1/digits/predict"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "image/png", "application/json"} <= set(content)


def test_docs_need_nothing_from_elsewhere(client: TestClient) -> None:
    """A closed network has no CDN: every file of the docs page comes from the service."""
    page = client.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert files
    for file in files:
        assert file.startswith("/")
        assert client.get(file).status_code == 200


def test_the_thread_for_uploads_ends_with_the_service(models_dir: Path) -> None:
    """Nothing of a service outlives it."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app):
        uploads = app.state.pools.uploads
        uploads.submit(lambda: None).result()
    with pytest.raises(RuntimeError, match="shutdown"):
        uploads.submit(lambda: None)
