"""Admin calls: load, unload, roll back; and that every process follows."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.models.artifacts.labels import LABELS
from service.models.versions.registry import ModelRegistry
from service.settings.settings import Settings, read_settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.models.test_versions import HEART, publish
from tests.waiting import wait_until

KEY = "a key of sixteen characters or more"
ADMIN = {"authorization": f"Bearer {KEY}"}
ROW = {"age": 60, "sex": 1}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Heart in versions 1, 2 (damaged) and 3, and one version of everything else."""
    for task in TASKS.values():
        if task is not HEART:
            write_artifact(tmp_path, task)
    publish(tmp_path, "1")
    publish(tmp_path, "2", damaged=True)
    publish(tmp_path, "3")
    return tmp_path


@pytest.fixture
def client(models: Path) -> Iterator[TestClient]:
    """A ready service with an admin key, which looks at the folder only when told."""
    settings = Settings(models_dir=models, device="cpu", poll_seconds=0, admin_key=KEY)
    with TestClient(create_app(settings), raise_server_exceptions=False) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


def version(client: TestClient) -> str:
    """Return the version of heart that answers."""
    answer = client.post("/v1/heart/predict", json=ROW)
    assert answer.status_code == 200, answer.json()
    return str(answer.json()["model"]["version"])


def test_without_a_key_there_are_no_such_calls(models: Path) -> None:
    """404 and 405 as for any path there is not, key or no key; nothing in the documentation."""
    with TestClient(create_app(Settings(models_dir=models, device="cpu"))) as client:
        for action in ("load", "unload", "rollback"):
            path = f"/v1/models/heart/{action}"
            assert client.post(path, headers=ADMIN).status_code == 404
            assert (
                path.replace("heart", "{name}") not in client.get("/openapi.json").json()["paths"]
            )


@pytest.mark.parametrize(
    ("headers", "got"),
    [
        ({}, "got none"),
        ({"authorization": "Bearer another key of sixteen characters"}, "got another key"),
        ({"authorization": f"Bearer {KEY[:-1]}"}, "got another key"),
        ({"authorization": f"Basic {KEY}"}, "got none"),
        ({"authorization": "Bearer"}, "got"),
        ({"authorization": b"Bearer \xff\xfe"}, "got another key"),
    ],
)
@pytest.mark.parametrize("name", ["heart", "nobody"])
def test_without_the_key_in_the_request_they_are_403(
    client: TestClient, headers: dict[str, str], got: str, name: str
) -> None:
    """A problem, before anything is told of the model; the key is in no answer."""
    answer = client.post(f"/v1/models/{name}/unload", headers=headers)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert got in answer.json()["detail"]
    assert KEY not in answer.text
    assert version(client) == "3"


@pytest.mark.parametrize("action", ["load", "unload", "rollback"])
@pytest.mark.parametrize("name", ["nobody", "..%2f..%2fetc", "%00"])
def test_a_model_there_is_not_is_404(client: TestClient, action: str, name: str) -> None:
    """Only what the service knows by name is ever touched on disk."""
    answer = client.post(f"/v1/models/{name}/{action}", headers=ADMIN)
    assert answer.status_code == 404


def test_an_unloaded_model_answers_nobody_until_it_is_loaded(
    client: TestClient, models: Path
) -> None:
    """Not after changes of the folder either, nor after a start; readiness waits not for it."""
    shown = client.post("/v1/models/heart/unload", headers=ADMIN).json()
    assert (shown["ready"], shown["version"]) == (False, None)
    assert {found["state"] for found in shown["states"]} <= {"not_served", "invalid", "draining"}
    answer = client.post("/v1/heart/predict", json=ROW)
    assert answer.status_code == 503
    assert "it was unloaded" in answer.json()["detail"]
    assert client.post("/v1/heart/predict?version=3", json=ROW).status_code == 503
    publish(models, "4")
    client.app.state.registry.refresh()  # type: ignore[attr-defined]
    assert client.post("/v1/heart/predict", json=ROW).status_code == 503
    assert client.get("/readyz").status_code == 200
    another = ModelRegistry(models, TASKS, "cpu")
    another.refresh()
    assert another.versions_of("heart").unloaded
    assert another.not_ready() == {}
    assert client.post("/v1/models/heart/load", headers=ADMIN).json()["version"] == "4"
    assert version(client) == "4"
    another.refresh()
    assert another.default_of("heart").card.version == "4"


def test_rollback_goes_to_the_last_good_version_and_stays_there(
    client: TestClient, models: Path
) -> None:
    """Past a damaged one; a newer version changes nothing; then there is nothing before it."""
    shown = client.post("/v1/models/heart/rollback", headers=ADMIN).json()
    assert (shown["version"], shown["labels"]) == ("1", {"stable": "1"})
    assert version(client) == "1"
    publish(models, "4")
    client.post("/v1/models/heart/load", headers=ADMIN)
    assert version(client) == "1"
    again = client.post("/v1/models/heart/rollback", headers=ADMIN)
    assert again.status_code == 409
    assert "no valid version before heart/1" in again.json()["detail"]
    assert version(client) == "1"


def test_rollback_goes_to_the_version_that_answered_before_a_promotion(
    client: TestClient, models: Path
) -> None:
    """Whatever its number, and keeps other labels."""
    publish(models, "4")
    publish(models, "5")
    labels = {"stable": "1", "previous": "4", "canary": "5"}
    (models / "heart" / LABELS).write_text(json.dumps(labels))
    client.post("/v1/models/heart/load", headers=ADMIN)
    assert version(client) == "1"
    shown = client.post("/v1/models/heart/rollback", headers=ADMIN).json()
    assert shown["labels"] == {"stable": "4", "canary": "5"}
    assert version(client) == "4"


def test_loading_what_cannot_be_loaded_says_why(client: TestClient, models: Path) -> None:
    """503 with the reason, not a 200 that hides it; an unloaded model has nothing to go back to."""
    client.post("/v1/models/heart/unload", headers=ADMIN)
    refused = client.post("/v1/models/heart/rollback", headers=ADMIN)
    assert (refused.status_code, refused.json()["title"]) == (503, "Service Unavailable")
    for good in ("1", "3"):
        shutil.rmtree(models / "heart" / good)
    answer = client.post("/v1/models/heart/load", headers=ADMIN)
    assert answer.status_code == 503
    assert "sha256" in answer.json()["detail"]


def test_a_folder_that_cannot_be_written_is_409(
    client: TestClient, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that mounts the models read-only gets the path and the reason."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", read_only)
    monkeypatch.setattr("service.models.artifacts.labels.NamedTemporaryFile", read_only)
    for action in ("unload", "rollback"):
        answer = client.post(f"/v1/models/heart/{action}", headers=ADMIN)
        assert answer.status_code == 409
        assert "cannot be written: Read-only file system" in answer.json()["detail"]
    assert version(client) == "3"


def test_labels_that_cannot_be_read_allow_no_rollback(client: TestClient, models: Path) -> None:
    """409, and they stay as they are: whoever wrote them meant something."""
    (models / "heart" / LABELS).write_text("{")
    answer = client.post("/v1/models/heart/rollback", headers=ADMIN)
    assert answer.status_code == 409
    assert "labels.json" in answer.json()["detail"]
    assert (models / "heart" / LABELS).read_text() == "{"
    assert version(client) == "3"


def test_a_closed_folder_is_the_reason_why_a_model_is_not_ready(
    models: Path, close: Callable[[Path], None]
) -> None:
    """/readyz and /v1/models tell the reason of that model; the others are loaded."""
    close(models / "heart")
    reason = f"{models / 'heart'} cannot be looked into: Permission denied"
    settings = Settings(models_dir=models, device="cpu", poll_seconds=0, admin_key=KEY)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        client.app.state.registry.refresh()  # type: ignore[attr-defined]
        assert client.get("/readyz").json()["reasons"] == {"heart": reason}
        assert client.get("/v1/models/heart").json()["reason"] == reason
        assert client.post("/v1/models/credit/load", headers=ADMIN).status_code == 200
        refused = client.post("/v1/models/heart/load", headers=ADMIN)
        assert (refused.status_code, "/heart" in refused.json()["detail"]) == (409, True)


def test_a_short_key_is_refused_at_the_start_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret belongs in no log; neither does a bad one."""
    monkeypatch.setenv("FORETELL_ADMIN_KEY", "letmein")
    with pytest.raises(Exception, match=r"FORETELL_ADMIN_KEY: expected .*16") as refused:
        read_settings()
    assert "letmein" not in str(refused.value)
    monkeypatch.setenv("FORETELL_ADMIN_KEY", KEY)
    assert KEY not in repr(read_settings())


def test_the_open_inference_protocol_loads_and_unloads_too(client: TestClient) -> None:
    """With the key alone; what a caller says of where a model lies or how it runs is refused."""
    unload, load = (f"/v2/repository/models/heart/{action}" for action in ("unload", "load"))
    for headers in ({}, {"authorization": "Bearer something else"}, {"authorization": KEY}):
        refused = client.post(unload, headers=headers)
        assert refused.status_code == 403, refused.text
        assert "FORETELL_ADMIN_KEY" in refused.json()["error"]
    moved = {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}
    assert client.post(load, headers=ADMIN, json=moved).status_code == 501
    assert version(client) == "3"
    kept = {"parameters": {"unload_dependents": False}}
    assert client.post(unload, headers=ADMIN, json=kept).json() == {}
    assert client.get("/v2/models/heart/ready").status_code == 503
    states = {
        e["state"] for e in client.post("/v2/repository/index").json() if e["name"] == "heart"
    }
    assert "READY" not in states
    assert client.post(load, headers=ADMIN).json() == {}
    assert version(client) == "3"
    assert client.post(load.replace("heart", "wine"), headers=ADMIN).status_code == 404


def test_the_open_inference_protocol_takes_labels_for_versions(models: Path) -> None:
    """In paths; the metadata list the versions that are served."""
    (models / "heart" / LABELS).write_text(json.dumps({"canary": "3", "stable": "1"}))
    with TestClient(create_app(Settings(models_dir=models, device="cpu"))) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        described = client.get("/v2/models/heart/versions/canary").json()
        assert described["versions"] == ["1", "3"]
        tensor = {"name": "features", "shape": [1, 13], "datatype": "FP32", "data": [60.0] * 13}
        for path, wanted in (("", "1"), ("/versions/canary", "3"), ("/versions/1", "1")):
            answer = client.post(f"/v2/models/heart{path}/infer", json={"inputs": [tensor]})
            assert answer.json()["model_version"] == wanted, answer.text
        assert client.get("/v2/models/heart/versions/7").status_code == 404
