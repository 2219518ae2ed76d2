"""Predict calls are answered ahead of the framework, which only knows that they exist."""

from pathlib import Path

from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from service.tasks import TASKS
from tests.waiting import wait_until

HEART = {"age": 60, "sex": 1}


def test_predict_calls_do_not_need_the_frameworks_routes(models_dir: Path) -> None:
    """Every predict call is answered with FastAPI's routes taken away, and in the same words."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        before = client.post("/v1/heart/predict", json=HEART)
        app.router.routes.clear()
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


def test_where_a_model_answers_is_measured_and_shown(models_dir: Path) -> None:
    """Small graphs answer on the event loop; the time that decided it is in /v1/models."""
    with TestClient(create_app(Settings(models_dir=models_dir, device="cpu"))) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        shown = client.get("/v1/models/heart").json()
        assert shown["row_us"] > 0
        assert shown["inline"] is (shown["row_us"] <= 500)
