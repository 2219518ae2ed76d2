"""A task is files: two that no package knows get every route and command (`tests/new_tasks`)."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from onnx import helper
from PIL import Image

from service.api.app import create_app
from service.cli import main
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import model_of, write_artifact
from tests.new_tasks import NAMES, new_tasks
from tests.waiting import wait_until

ADMISSION = {"age": 71, "ward": 2, "fever": 38.5}


@pytest.fixture(scope="module")
def models() -> Iterator[None]:
    """Add the two tasks while a test of this module runs."""
    with new_tasks():
        yield


@pytest.fixture(scope="module")
def new_models(models: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one small model for each of the new tasks."""
    folder = tmp_path_factory.mktemp("models")
    write_artifact(folder, TASKS["signs"])
    write_artifact(folder, TASKS["stay"], graph=stay_graph())
    return folder


@pytest.fixture(scope="module")
def service(new_models: Path) -> Iterator[TestClient]:
    """Yield a service in which both models answer."""
    settings = Settings(models_dir=new_models, device="cpu")
    with TestClient(create_app(settings)) as started:
        wait_until(lambda: all(ready(started, name) for name in NAMES))
        yield started


def ready(service: TestClient, name: str) -> bool:
    return bool(service.get(f"/v2/models/{name}/ready").status_code == 200)


def stay_graph() -> onnx.ModelProto:
    """Return a graph of |0.1 * age + 0.2 * ward|, with anything not recorded as 0."""
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["column"]),
        helper.make_node("Abs", ["column"], ["size"]),
        helper.make_node("Reshape", ["size", "flat"], ["days"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "zero": np.array(0, np.float32),
        "weights": np.array([[0.1], [0.2], [0]], np.float32),
        "flat": np.array([-1], np.int64),
    }
    return model_of(TASKS["stay"], nodes, constants)


def sign() -> NDArray[np.uint8]:
    """Return a picture, uint8[32, 32], that is brightest in the band of the third class."""
    picture = np.zeros((32, 32), np.uint8)
    picture[23:] = 200
    return picture


def png(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def test_signs_are_answered_by_upload_and_as_pixels(service: TestClient) -> None:
    """A picture of 32x32 in three classes has both ways in, and both give the same answer."""
    by_pixels = service.post("/v1/signs/predict", json={"pixels": sign().tolist()})
    by_upload = service.post(
        "/v1/signs/predict",
        content=png(np.kron(sign(), np.ones((4, 4), np.uint8))),
        headers={"content-type": "image/png"},
    )
    assert by_pixels.status_code == by_upload.status_code == 200
    assert by_pixels.json() == by_upload.json()
    assert by_pixels.json()["shape"] == "disc"
    assert len(by_pixels.json()["probabilities"]) == 3


def test_pixels_of_another_size_are_refused_with_the_size(service: TestClient) -> None:
    """A picture of digits' size, 28x28, is told how many rows were expected."""
    refused = service.post("/v1/signs/predict", json={"pixels": np.eye(28, dtype=int).tolist()})
    assert refused.status_code == 422
    assert "at least 32 items" in json.dumps(refused.json())


def test_signs_are_explained_pixel_by_pixel(service: TestClient) -> None:
    """A heat map is as large as the picture."""
    shown = service.post("/v1/signs/explain", json={"pixels": sign().tolist()}).json()
    assert shown["answer"] == "disc"
    assert np.shape(shown["heat"]) == np.shape(shown["pixels"]) == (32, 32)


def test_a_number_is_answered(service: TestClient) -> None:
    """A regression has the route of rows, with its own answer and the contract's messages."""
    answer = service.post("/v1/stay/predict", json=ADMISSION)
    assert answer.json() == {
        "days": pytest.approx(7.5),
        "model": {"name": "stay", "version": "1"},
    }
    wrong = service.post("/v1/stay/predict", json=ADMISSION | {"ward": 3})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["expected"] == "one of 1 (surgery), 2 (medicine)"
    assert service.post("/v1/stay/explain", json=ADMISSION).status_code == 404


def test_the_schema_has_both_as_the_page_reads_it(service: TestClient) -> None:
    """/docs and the playground get routes, titles, sizes and units from /openapi.json."""
    schema = service.get("/openapi.json").json()
    paths = schema["paths"]
    assert {path for path in paths if any(f"/v1/{name}/" in path for name in NAMES)} == {
        "/v1/signs/predict",
        "/v1/signs/explain",
        "/v1/stay/predict",
        "/v1/stay/predict/batch",
    }
    pictures = paths["/v1/signs/predict"]["post"]
    assert "32x32 pixels" in pictures["description"]
    content = pictures["requestBody"]["content"]
    assert "multipart/form-data" in content
    pixels = content["application/json"]["schema"]["properties"]["pixels"]
    assert pixels["minItems"] == pixels["items"]["minItems"] == 32
    assert paths["/v1/stay/predict"]["post"]["summary"] == "Length of stay: one row"
    days = schema["components"]["schemas"]["StayPrediction"]["properties"]["days"]
    assert days["unit"] == "days"
    assert "beside `days`." in paths["/v1/stay/predict/batch"]["post"]["description"]
    digits = paths["/v1/digits/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert digits["schema"]["properties"]["pixels"]["minItems"] == 28


def test_both_speak_the_open_inference_protocol(service: TestClient) -> None:
    """Metadata has their tensors, and infer answers as the typed routes do."""
    signs = service.get("/v2/models/signs").json()
    assert signs["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 32, 32]}]
    assert [(o["name"], o["shape"]) for o in signs["outputs"]] == [
        ("probabilities", [-1, 3]),
        ("shape", [-1]),
        ("in_distribution_score", [-1]),
    ]
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 32, 32]}
    given = {"inputs": [tensor | {"data": sign().ravel().tolist()}]}
    outputs = service.post("/v2/models/signs/infer", json=given).json()["outputs"]
    assert {o["name"]: o["data"] for o in outputs}["shape"] == [2]

    stay = service.get("/v2/models/stay").json()
    assert stay["outputs"] == [{"name": "days", "datatype": "FP32", "shape": [-1]}]
    tensor = {"name": "features", "datatype": "FP32", "shape": [2, 3]}
    given = {"inputs": [tensor | {"data": [71, 2, 38.5, 20, 1, 37]}]}
    (days,) = service.post("/v2/models/stay/infer", json=given).json()["outputs"]
    assert days["data"] == pytest.approx([7.5, 2.2])


def test_a_row_whose_number_is_not_finite_is_its_callers_fault_or_the_models(
    service: TestClient,
) -> None:
    """The message has the word of the kind: a finite number, where others have a probability."""
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 3]}
    given = {"inputs": [tensor | {"data": [3.4e38, 3.4e38, 37]}]}
    steep = service.post("/v2/models/stay/infer", json=given).json()
    assert "outputs" in steep  # large, and finite: no probability is asked of it
    header = {"inference-header-content-length": "0"}
    body = np.array([[np.inf, 1, 37]], np.float32).tobytes()
    refused = service.post("/v2/models/stay/infer", content=body, headers=header)
    assert refused.status_code == 400
    assert "the model's days for it is no finite number" in refused.json()["error"]


@pytest.mark.parametrize("media", ["text/csv", "application/json"])
def test_a_table_gets_a_column_of_numbers(service: TestClient, media: str) -> None:
    """The batch route has the kind's own columns, and no header of a threshold."""
    table = "bed,age,ward,fever\nA,71,2,38.5\nB,20,1,\n"
    answer = service.post(
        "/v1/stay/predict/batch",
        content=table,
        headers={"content-type": "text/csv", "accept": media},
    )
    assert answer.status_code == 200
    rows = answer.json() if media.endswith("json") else list(csv.DictReader(answer.text.split()))
    assert [row["bed"] for row in rows] == ["A", "B"]
    assert [float(row["days"]) for row in rows] == pytest.approx([7.5, 2.2])
    assert "x-threshold" not in answer.headers
    assert answer.headers["x-model"] == "stay/1"


def test_bad_rows_of_a_table_are_reported(service: TestClient) -> None:
    """A bad row has no number, and an error instead."""
    answer = service.post(
        "/v1/stay/predict/batch?on_error=report",
        content="age,ward\n71,2\n71,3\n",
        headers={"content-type": "text/csv", "accept": "application/json"},
    )
    good, bad = answer.json()
    assert good == {"days": pytest.approx(7.5), "error": None}
    assert bad["days"] is None
    assert bad["error"].startswith("ward: expected one of 1")


def test_score_answers_a_folder_and_a_table(new_models: Path, tmp_path: Path) -> None:
    """`foretell score` and `foretell predict` know both tasks by their names."""
    where = ["--models-dir", str(new_models)]
    folder, output = tmp_path / "signs", tmp_path / "signs.csv"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(sign()))
    (folder / "b.txt").write_text("no picture")
    assert main(["score", "signs", str(folder), "-o", str(output), *where]) == 0
    first, second = csv.DictReader(output.read_text().splitlines())
    assert first["shape"] == "disc"
    assert {"p_square", "p_triangle", "p_disc"} <= first.keys()
    assert second["error"]

    table, output = tmp_path / "stay.csv", tmp_path / "days.csv"
    table.write_text("age,ward,fever\n71,2,38.5\n")
    assert main(["score", "stay", str(table), "-o", str(output), *where]) == 0
    (row,) = csv.DictReader(output.read_text().splitlines())
    assert float(row["days"]) == pytest.approx(7.5)


def test_predict_answers_without_a_server(
    new_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object a line, as for any task."""
    where = ["--models-dir", str(new_models)]
    (tmp_path / "a.png").write_bytes(png(sign()))
    assert main(["predict", "stay", "--json", json.dumps(ADMISSION), *where]) == 0
    assert main(["predict", "signs", str(tmp_path / "a.png"), *where]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[0] == "{"]
    assert [line.get("days") or line.get("shape") for line in lines] == [
        pytest.approx(7.5),
        "disc",
    ]


def test_a_shadow_compares_numbers_by_their_step(models: None) -> None:
    """Two numbers agree where they round to the same multiple of half a day."""
    days = np.array([4.4, 4.6, 4.9], np.float32)
    assert TASKS["stay"].decide({"days": days}, 0.5).tolist() == [9, 9, 10]
