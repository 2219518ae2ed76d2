"""`?model=`: another recipe of a task answers beside the default, and none of another task."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from service.tasks import TASKS
from tests.artifacts import graph_of, write_artifact
from tests.service.test_pictures_route import encoded, seven
from tests.waiting import wait_until

HEART = {"age": 60, "sex": 1}
PIXELS = {"pixels": [[10 * ((i + j) % 20) for j in range(28)] for i in range(28)]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with a second model of heart, digits and fashion, whose answers are others."""
    folder = tmp_path_factory.mktemp("models")
    for task in TASKS.values():
        write_artifact(folder, task)
    for name in ("heart-mlp16", "digits-softmax", "fashion-dense"):
        task = TASKS[name.partition("-")[0]]
        write_artifact(folder, task, name=name, graph=graph_of(task, bias=2.0))
    damaged = write_artifact(folder, TASKS["heart"], name="heart-damaged")
    (damaged / "model.onnx").write_bytes(b"damaged")
    settings = Settings(models_dir=folder, device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as started:
        wait_until(lambda: list(started.get("/readyz").json()["reasons"]) == ["heart-damaged"])
        yield started


@pytest.mark.parametrize(
    ("task", "other", "body"),
    [
        ("heart", "heart-mlp16", HEART),
        ("digits", "digits-softmax", PIXELS),
        ("fashion", "fashion-dense", PIXELS),
    ],
)
def test_the_model_asked_for_answers_and_is_named(
    client: TestClient, task: str, other: str, body: dict[str, Any]
) -> None:
    """By default, and by its own name, the task's model; by another's name that one."""
    default = client.post(f"/v1/{task}/predict", json=body).json()
    assert default["model"]["name"] == task
    assert client.post(f"/v1/{task}/predict?model={task}", json=body).json() == default
    answer = client.post(f"/v1/{task}/predict", params={"model": other}, json=body).json()
    assert answer["model"] == {"name": other, "version": "1"}
    assert answer["probability"] != pytest.approx(default["probability"], abs=0.01)


def test_uploads_are_answered_by_the_model_asked_for(client: TestClient) -> None:
    """One picture as the body, and several as a form."""
    picture = encoded(seven())
    path = "/v1/digits/predict?model=digits-softmax"
    one = client.post(path, content=picture, headers={"content-type": "image/png"}).json()
    many = client.post(path, files=[("file", ("a.png", picture)), ("file", ("b.png", picture))])
    assert one["model"]["name"] == "digits-softmax"
    assert [answer["model"]["name"] for answer in many.json()] == ["digits-softmax"] * 2


@pytest.mark.parametrize("model", ["mlp17", "credit", "digits-softmax", "", "../heart"])
def test_a_model_that_the_task_does_not_have_is_404(client: TestClient, model: str) -> None:
    """Unknown, or of another task: a problem that lists this task's models, and no answer."""
    answer = client.post("/v1/heart/predict", params={"model": model}, json=HEART)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    listed = "there are: heart, heart-mlp16"
    assert answer.json()["detail"] == f"no model {model!r} of heart; {listed}"


def test_a_model_of_rows_never_answers_pictures(client: TestClient) -> None:
    """The other way round, too."""
    answer = client.post("/v1/digits/predict?model=fashion", json=PIXELS)
    assert answer.status_code == 404
    assert "there are: digits, digits-softmax" in answer.json()["detail"]


def test_a_model_that_cannot_answer_is_503(client: TestClient) -> None:
    """Known but refused: why, instead of an answer by another model."""
    answer = client.post("/v1/heart/predict?model=heart-damaged", json=HEART)
    assert answer.status_code == 503
    assert "sha256" in answer.json()["detail"]


def test_the_choice_is_documented(client: TestClient) -> None:
    """As a query parameter of each task's route, with its 404."""
    paths = client.get("/openapi.json").json()["paths"]
    for name in TASKS:
        route = paths[f"/v1/{name}/predict"]["post"]
        (parameter,) = route["parameters"]
        assert (parameter["name"], parameter["in"]) == ("model", "query")
        assert not parameter["required"]
        assert "GET /v1/models" in parameter["description"]
        assert "404" in route["responses"]
