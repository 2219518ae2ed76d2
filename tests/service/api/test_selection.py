"""`?model=`: another recipe of a task answers beside the default, and none of another task."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import graph_of, write_artifact
from tests.service.api.test_pictures import encoded, seven
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


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with two versions of heart, both served, the first of them labelled."""
    folder = tmp_path_factory.mktemp("models")
    for name, task in {**TASKS, "heart-mlp16": TASKS["heart"]}.items():
        write_artifact(folder, task, name=name)
    write_artifact(folder, TASKS["heart"], version="2", graph=graph_of(TASKS["heart"], bias=2.0))
    damaged = write_artifact(folder, TASKS["heart"], name="heart-damaged")
    (damaged / "model.onnx").write_bytes(b"damaged")
    for name in ("heart", "heart-mlp16"):
        (folder / name / "labels.json").write_text('{"canary": "1"}')
    settings = Settings(models_dir=folder, device="cpu", version_policy="latest:2")
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


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("version=2", "2"),
        ("version=1", "1"),
        ("label=canary", "1"),
        ("version=canary", "1"),
        ("model=heart-mlp16&label=canary", "1"),
        ("", "2"),
    ],
)
def test_the_version_asked_for_answers_and_is_named(
    versions: TestClient, query: str, version: str
) -> None:
    """By number or by label, of the task's own model or another; by default the newest."""
    answer = versions.post(f"/v1/heart/predict?{query}", json=HEART).json()
    assert answer["model"]["version"] == version
    assert answer["probability"] == pytest.approx(
        versions.post(f"/v1/heart/predict?version={version}", json=HEART).json()["probability"]
    )
    assert answer["model"]["name"] == ("heart-mlp16" if "mlp16" in query else "heart")


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("version=3", 404, "no model 'heart/3'; there are: heart/1, heart/2, heart/canary"),
        ("version=", 404, "no model 'heart/'"),
        ("version=-1", 404, "no model 'heart/-1'"),
        ("label=beta", 404, "no model 'heart/beta'"),
        ("label=1", 422, "label: expected the name of a label (a number is a version), got '1'"),
        ("version=1&label=canary", 422, "label: expected a version or a label, not both"),
        ("model=digits&version=1", 404, "no model 'digits' of heart"),
        ("model=heart-damaged&version=1", 503, "sha256"),
    ],
)
def test_a_version_there_is_not_is_a_problem(
    versions: TestClient, query: str, status: int, detail: str
) -> None:
    """404 with what there is, 422 for what cannot be meant, 503 for what was refused."""
    answer = versions.post(f"/v1/heart/predict?{query}", json=HEART)
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


def test_versions_states_and_labels_are_listed(versions: TestClient) -> None:
    """The list of models and each model's page have versions, states and labels."""
    (heart, damaged) = (
        versions.get(f"/v1/models/{name}").json() for name in ("heart", "heart-damaged")
    )
    assert heart["labels"] == {"canary": "1"}
    assert [(v["version"], v["state"], v["labels"]) for v in heart["states"]] == [
        ("1", "ready", ["canary"]),
        ("2", "ready", []),
    ]
    assert (heart["version"], heart["version_policy"], heart["reason"]) == ("2", "latest:2", None)
    assert damaged["states"][0]["state"] == "invalid"
    assert "sha256" in damaged["states"][0]["reason"]
    listed = {model["name"]: model for model in versions.get("/v1/models").json()}
    assert listed["heart"]["states"] == heart["states"]


def test_every_version_shows_its_card(versions: TestClient) -> None:
    """By number or label, refused ones too; all else stays that of the version that answers."""

    def shown(query: str) -> tuple[str, str | None]:
        model = versions.get(f"/v1/models/{query}").json()
        return model["card"]["version"], model["version"]

    assert shown("heart") == ("2", "2")
    assert shown("heart?version=1") == shown("heart?version=canary") == ("1", "2")
    assert shown("heart-damaged?version=1") == ("1", None)
    missing = versions.get("/v1/models/heart?version=7")
    assert (missing.status_code, missing.json()["detail"]) == (
        404,
        "no model 'heart/7'; there are: heart/1, heart/2",
    )
    assert versions.get("/v1/models/heart?version=../heart/1").status_code == 404
    labelled = versions.get("/v1/models/heart?label=canary").json()
    assert (labelled["version"], labelled["card"]["version"]) == ("2", "1")
    assert versions.get("/v1/models/heart?label=beta").status_code == 404
    both = versions.get("/v1/models/heart?version=1&label=canary")
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "label")


def test_the_list_names_titles_and_tasks(versions: TestClient) -> None:
    """So that a client finds the models of a task; what does not answer has none."""
    listed = {model["name"]: model for model in versions.get("/v1/models").json()}
    assert (listed["heart-mlp16"]["title"], listed["heart-mlp16"]["task"]) == (
        "Heart disease",
        "heart",
    )
    assert listed["heart-damaged"]["task"] is None


def test_the_choice_is_documented(client: TestClient) -> None:
    """Each task's route documents its query parameters and its 404."""
    paths = client.get("/openapi.json").json()["paths"]
    for name in TASKS:
        route = paths[f"/v1/{name}/predict"]["post"]
        model, version, label = route["parameters"]
        assert [p["name"] for p in route["parameters"]] == ["model", "version", "label"]
        assert not any(p["required"] or p["in"] != "query" for p in route["parameters"])
        assert "GET /v1/models" in model["description"]
        assert "stable" in version["description"]
        assert "canary" in label["description"]
        assert "404" in route["responses"]


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("modle=heart-mlp16", "model"),
        ("lable=canary", "label"),
        ("Version=2", "version"),
        ("model=heart&on_eror=report", "on_error"),
        ("threshold=0.2", None),
    ],
)
@pytest.mark.parametrize("path", ["predict", "explain", "predict/batch"])
def test_a_misspelt_parameter_is_refused_and_not_passed_over(
    client: TestClient, path: str, query: str, meant: str | None
) -> None:
    """The default would answer, and nobody would notice; the message names the one meant."""
    answer = client.post(
        f"/v1/heart/{path}?{query}", content=b"{}", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == query.split("&")[-1].partition("=")[0]
    if meant is not None and not (meant == "on_error" and path != "predict/batch"):
        assert f"(did you mean {meant!r}?)" in error["expected"]


def test_a_misspelt_parameter_of_a_models_page_is_refused(client: TestClient) -> None:
    """The card of another version would be shown."""
    assert client.get("/v1/models/heart?verison=1").status_code == 422
    assert client.get("/v1/models?version=1").status_code == 422
