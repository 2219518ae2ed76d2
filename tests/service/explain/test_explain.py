"""POST /v1/{task}/explain, by HTTP, on small real models."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.contract.tabular import TabularTask
from service.errors import ExplanationQueueFull
from service.explain.queue import ExplanationQueue
from service.models.artifacts.artifact import BACKGROUND
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact, write_card
from tests.waiting import wait_until

PATIENT: dict[str, Any] = {"age": 57, "sex": 1, "cp": 4, "trestbps": 140, "chol": 241}


def example(name: str) -> dict[str, Any]:
    task = TASKS[name]
    assert isinstance(task, TabularTask)
    extra: Any = task.payload.model_config["json_schema_extra"]
    return dict(extra["example"])


@pytest.mark.parametrize("name", ["heart", "credit"])
def test_an_explanation_adds_up_to_the_prediction(client: TestClient, name: str) -> None:
    """Base and contributions make the answer in both scales; the answer is that of predict."""
    explained = client.post(f"/v1/{name}/explain", json=example(name)).json()
    predicted = client.post(f"/v1/{name}/predict", json=example(name)).json()
    assert explained["probability"] == predicted["probability"]
    for scale in ("probability", "log_odds"):
        parts = sum(each[scale] for each in explained["contributions"])
        # Sums of a dozen float64: exact to rounding.
        assert explained["base"][scale] + parts == pytest.approx(explained[scale], abs=1e-9)
    fields = [field for each in explained["contributions"] for field in each["values"]]
    assert sorted(fields) == sorted(example(name))


def test_the_same_row_gives_the_same_bytes(client: TestClient) -> None:
    """Nothing is sampled."""
    first, second = (client.post("/v1/heart/explain", json=PATIENT).content for _ in range(2))
    assert first == second


def test_a_list_is_answered_in_its_order(client: TestClient) -> None:
    """Each row of a list gets what it gets alone; a list of one is answered by a list."""
    rows = [PATIENT, PATIENT | {"age": 30}]
    alone = [client.post("/v1/heart/explain", json=row).json() for row in rows]
    assert client.post("/v1/heart/explain", json=rows).json() == alone
    assert client.post("/v1/heart/explain", json=rows[:1]).json() == alone[:1]


def test_a_split_factor_adds_up_to_its_contribution(client: TestClient) -> None:
    """The months of repayment share what repayment contributes."""
    answer = client.post("/v1/credit/explain?split=repayment", json=example("credit")).json()
    (whole,) = [each for each in answer["contributions"] if each["factor"] == "repayment"]
    months = answer["split"]["contributions"]
    assert len(months) == 6
    for scale in ("probability", "log_odds"):
        assert sum(each[scale] for each in months) == pytest.approx(whole[scale], abs=1e-9)


BAD: list[tuple[str, Any, str]] = [
    ("", [], "1 to 16 rows, got none"),
    ("", [PATIENT] * 17, "1 to 16 rows, got more"),
    ("", [PATIENT, {"age": 57}], "1.sex: expected a value"),
    ("", PATIENT | {"chol": -3}, "chol: expected a number from 50 to 1000"),
    ("", 5, "expected an object"),
    ("?split=repayment", PATIENT, "split: expected nothing"),
]


@pytest.mark.parametrize(("query", "body", "detail"), BAD)
def test_bad_input_is_a_clear_422(client: TestClient, query: str, body: Any, detail: str) -> None:
    """Too many rows, none, wrong fields, a factor that is not there: said as everywhere."""
    answer = client.post(f"/v1/heart/explain{query}", json=body)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]


def test_a_factor_of_one_field_cannot_be_split(client: TestClient) -> None:
    """The refusal lists those that can, and wants one row."""
    answer = client.post("/v1/credit/explain?split=age", json=example("credit"))
    assert "expected one of repayment, bills, payments, got 'age'" in answer.json()["detail"]
    two = [example("credit")] * 2
    answer = client.post("/v1/credit/explain?split=bills", json=two)
    assert "expected one row with it, got 2 rows" in answer.json()["detail"]


def test_a_model_without_reference_rows_predicts_and_says_why_it_cannot_explain(
    tmp_path: Path,
) -> None:
    """An artifact of before there were any is served; explain answers 409."""
    for task in TASKS.values():
        folder = write_artifact(tmp_path, task)
    folder = tmp_path / "heart" / "1"
    (folder / BACKGROUND).unlink()
    write_card(folder, TASKS["heart"])
    settings = Settings(models_dir=tmp_path, device="cpu")
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/heart/predict", json=PATIENT).status_code == 200
        refused = client.post("/v1/heart/explain", json=PATIENT)
    assert refused.status_code == 409
    assert "heart/1 cannot be explained" in refused.json()["detail"]


def test_a_full_desk_refuses_and_recovers(client: TestClient) -> None:
    """503 with Retry-After while as many wait as may; afterwards explanations go on."""
    app: Any = client.app
    desk: ExplanationQueue = app.state.explanations
    before, desk._taken = desk._taken, desk._limit
    try:
        refused = client.post("/v1/heart/explain", json=PATIENT)
        predicted = client.post("/v1/heart/predict", json=PATIENT)
    finally:
        desk._taken = before
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "explanations are waiting" in refused.json()["detail"]
    assert predicted.status_code == 200
    assert client.post("/v1/heart/explain", json=PATIENT).status_code == 200


def test_a_desk_counts_work_until_it_is_over() -> None:
    """A caller who goes away frees no place while the thread still works for them."""

    async def crowd() -> None:
        desk, gate = ExplanationQueue(waiting=1), threading.Event()
        gone = asyncio.create_task(desk.submit(gate.wait))
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(ExplanationQueueFull):
            await desk.submit(gate.wait)
        gate.set()
        while desk._taken:
            await asyncio.sleep(0.001)
        assert await desk.submit(lambda: 7) == 7
        desk.close()

    asyncio.run(asyncio.wait_for(crowd(), 10))


def test_answers_are_documented(client: TestClient) -> None:
    """Every task has the route, with a typed answer and a body of one row or many."""
    schema = client.get("/openapi.json").json()
    for name, task in TASKS.items():
        route = schema["paths"][f"/v1/{name}/explain"]["post"]
        text = str(route["responses"]["200"])
        assert ("Explanation" if isinstance(task, TabularTask) else "HeatMap") in text
        assert {"409", "422", "503"} <= route["responses"].keys()
    body = schema["paths"]["/v1/heart/explain"]["post"]["requestBody"]
    assert "Patient" in str(body)
    assert "'maxItems': 16" in str(body)


def picture() -> list[list[int]]:
    pixels = np.zeros((28, 28), int)
    pixels[4:24, 13:15] = 255
    return [[int(value) for value in line] for line in pixels]


def test_a_heat_map_is_of_the_answer_of_predict(client: TestClient) -> None:
    """Same class and probability; 28x28; nothing where a square never meets ink."""
    shown = client.post("/v1/digits/explain", json={"pixels": picture()}).json()
    predicted = client.post("/v1/digits/predict", json={"pixels": picture()}).json()
    assert (shown["answer"], shown["probability"]) == (predicted["digit"], predicted["probability"])
    heat = np.array(shown["heat"])
    assert heat.shape == (28, 28)
    assert heat.any()
    assert not heat[:, :9].any()
    assert shown["pixels"] == picture()


def test_heat_maps_take_one_picture(client: TestClient) -> None:
    """One picture is taken in any form that predict takes; several are refused, and blanks."""
    seven = (Path(__file__).resolve().parents[3] / "docs" / "use" / "seven.png").read_bytes()
    by_body = client.post(
        "/v1/digits/explain", content=seven, headers={"content-type": "image/png"}
    )
    by_form = client.post("/v1/digits/explain", files={"file": seven})
    assert by_body.status_code == 200
    assert by_body.content == by_form.content
    two = [("file", ("a.png", seven)), ("file", ("b.png", seven))]
    assert "one picture, got 2" in client.post("/v1/digits/explain", files=two).json()["detail"]
    blank = client.post("/v1/digits/explain", json={"pixels": [[0] * 28] * 28})
    assert blank.status_code == 422
    text = client.post("/v1/digits/explain", content=b"7", headers={"content-type": "text/plain"})
    assert text.status_code == 415


def test_an_application_started_again_explains_again(models_dir: Path) -> None:
    """Each life of the application has a desk of its own."""
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    for _ in range(2):
        with TestClient(app) as client:
            wait_until(lambda c=client: c.get("/readyz").status_code == 200)  # type: ignore[misc]
            assert client.post("/v1/heart/explain", json=PATIENT).status_code == 200
