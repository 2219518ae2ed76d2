"""The typed routes of rows."""

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.contract.parsing import MAX_BYTES
from service.contract.tabular import TabularTask
from service.tasks import TASKS
from tests.artifacts import golden_of, graph_of

ROWS = [task for task in TASKS.values() if isinstance(task, TabularTask)]


def example(task: TabularTask) -> dict[str, Any]:
    extra: Any = task.payload.model_config["json_schema_extra"]
    return dict(extra["example"])


def expected(task: TabularTask, row: dict[str, Any]) -> float:
    """What the test model computes, worked out by hand."""
    values = [row.get(f.name) for f in task.features]
    filled = np.array([0 if v is None else v for v in values], np.float32)
    weights = 0.01 * (1 + np.arange(len(values), dtype=np.float32))
    return float(1 / (1 + np.exp(-np.float64(filled @ weights))))


@pytest.mark.parametrize("task", ROWS, ids=lambda t: t.name)
def test_example_of_the_docs_is_answered(client: TestClient, task: TabularTask) -> None:
    """The documented example is valid, and its answer is what the model says of it."""
    answer = client.post(f"/v1/{task.name}/predict", json=example(task))
    assert answer.status_code == 200
    body = answer.json()
    assert body["probability"] == pytest.approx(expected(task, example(task)), abs=1e-6)
    assert body[task.decision] is (body["probability"] >= body["threshold"])
    assert body["model"] == {"name": task.name, "version": "1"}


def test_field_order_in_json_does_not_matter(client: TestClient) -> None:
    """Fields are matched by name; the array's order is the contract's."""
    task = TASKS["heart"]
    assert isinstance(task, TabularTask)
    row = example(task)
    shuffled = dict(reversed(row.items()))
    one = client.post("/v1/heart/predict", json=row).json()
    assert one == client.post("/v1/heart/predict", json=shuffled).json()


@pytest.mark.parametrize("spelling", [{}, {"chol": None}, {"chol": 0}, {"chol": 0.0}])
def test_not_recorded_may_be_absent_null_or_the_datas_zero(
    client: TestClient, spelling: dict[str, Any]
) -> None:
    """All ways of saying that cholesterol was not measured mean the same."""
    row = {"age": 60, "sex": 1} | spelling
    answer = client.post("/v1/heart/predict", json=row).json()
    assert answer["probability"] == pytest.approx(expected(TASKS["heart"], {"age": 60, "sex": 1}))  # type: ignore[arg-type]


def test_whole_numbers_may_be_written_as_floats(client: TestClient) -> None:
    """What pandas makes of an integer column with gaps: 2.0 is still the code 2."""
    row = {"age": 60.0, "sex": 1.0, "cp": 2.0}
    assert client.post("/v1/heart/predict", json=row).status_code == 200


BAD_FIELDS = [
    ({"sex": 1}, "age", "a value (required)", "nothing"),
    ({"age": None, "sex": 1}, "age", "a number from 18 to 120 (years)", "null"),
    ({"age": "63", "sex": 1}, "age", "a number from 18 to 120 (years)", '"63"'),
    ({"age": 630, "sex": 1}, "age", "a number from 18 to 120 (years)", "630"),
    ({"age": True, "sex": 1}, "age", "a number from 18 to 120 (years)", "true"),
    ({"age": [63], "sex": 1}, "age", "a number from 18 to 120 (years)", "an array of 1"),
    ({"age": 63, "sex": True}, "sex", "one of 0 (female), 1 (male)", "true"),
    ({"age": 63, "sex": 0.5}, "sex", "one of 0 (female), 1 (male)", "0.5"),
    ({"age": 63, "sex": 1, "weight": 1}, "weight", "no field of this name", "1"),
    (
        {"age": 63, "sex": 1, "trestbp": 140},
        "trestbp",
        "no field of this name (did you mean 'trestbps'?)",
        "140",
    ),
    (
        {"age": 63, "sex": 1, "chol": 5},
        "chol",
        "a number from 50 to 1000 (mg/dl), or 0 for not recorded",
        "5",
    ),
    ([], "body", "an object", "an array of 0"),
]


@pytest.mark.parametrize(("body", "field", "wanted", "got"), BAD_FIELDS)
def test_a_bad_field_is_named_with_what_was_expected_and_what_came(
    client: TestClient, body: Any, field: str, wanted: str, got: str
) -> None:
    """422 as problem+json; the errors array holds exactly the field that is wrong."""
    answer = client.post("/v1/heart/predict", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["errors"] == [{"field": field, "expected": wanted, "got": got}]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_every_bad_field_is_listed_at_once(client: TestClient) -> None:
    """Nobody mends a payload one error at a time."""
    answer = client.post("/v1/credit/predict", json={"limit_bal": -1, "sex": 3, "pay_1": 0})
    fields = [error["field"] for error in answer.json()["errors"]]
    required = {f.name for f in TASKS["credit"].contract.features}
    assert set(fields) == required | {"pay_1"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_none_are_refused(client: TestClient, number: str) -> None:
    """Python's JSON reader takes NaN and Infinity; the service does not, and survives the echo."""
    answer = client.post(
        "/v1/heart/predict",
        content=f'{{"age": {number}, "sex": 1}}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"age": 63, "sex": 1} x', b"[" * 60_000]
)
def test_a_body_that_is_not_json_is_refused(client: TestClient, content: bytes) -> None:
    """Empty, cut off, not text, nested without end: a problem, never a 500."""
    answer = client.post(
        "/v1/heart/predict", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "JSON" in answer.json()["detail"] or "required" in answer.json()["detail"]


@pytest.mark.parametrize("media", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(client: TestClient, media: str | None) -> None:
    """The answer says which content type would do."""
    headers = {} if media is None else {"content-type": media}
    answer = client.post("/v1/heart/predict", content=b'{"age": 63, "sex": 1}', headers=headers)
    assert answer.status_code == 415
    assert "expected Content-Type application/json" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("heart/predict", '{"age": 57, "age": 40, "sex": 1}', "age"),
        ("heart/predict", '{"age": 57, "\\u0061ge": 57, "sex": 1}', "age"),
        ("heart/explain", '[{"age": 57, "sex": 1}, {"age": 40, "sex": 1, "sex": 0}]', "sex"),
        (
            "digits/predict",
            '{{"pixels": {0}, "pixels": {0}}}'.format([[0] * 28] * 27 + [[255] * 28]),
            "pixels",
        ),
    ],
)
def test_a_field_that_comes_twice_is_refused(
    client: TestClient, path: str, body: str, field: str
) -> None:
    """Which of the two was meant, nobody knows; JSON parsers keep the last and say nothing."""
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"/v1/{path}", content=body, headers=headers)
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem == {"field": field, "expected": "one value", "got": "2 values"}


def test_thousands_of_unknown_fields_are_counted_and_the_first_hundred_listed(
    client: TestClient,
) -> None:
    """The answer stays short, and nobody waits for the rest to be worded."""
    row = {f"c{number}": 1 for number in range(3000)}
    problem = client.post("/v1/heart/predict", json=row).json()
    assert len(problem["errors"]) == 100
    assert problem["detail"] == "3002 problems; errors lists the first 100"  # age and sex as well


@pytest.mark.parametrize("path", ["heart/predict", "heart/explain", "digits/predict"])
def test_a_body_longer_than_any_call_in_json_is_413(client: TestClient, path: str) -> None:
    """Told apart by its length, before anything reads it."""
    headers = {"Content-Type": "application/json"}
    longest = "{" + " " * (MAX_BYTES - 2) + "}"
    assert client.post(f"/v1/{path}", content=longest, headers=headers).status_code == 422
    answer = client.post(f"/v1/{path}", content=longest + " ", headers=headers)
    assert answer.status_code == 413
    assert "65,536 bytes" in answer.json()["detail"]


def test_a_parameter_of_the_content_type_is_accepted(client: TestClient) -> None:
    """`; charset=utf-8` is what many clients send."""
    answer = client.post(
        "/v1/heart/predict",
        content=b'{"age": 63, "sex": 1}',
        headers={"content-type": "application/json; charset=utf-8"},
    )
    assert answer.status_code == 200


def test_the_test_model_reads_nan_as_zero() -> None:
    """The fake is a real graph: ONNX's own reference evaluator agrees with `expected`."""
    from onnx.reference import ReferenceEvaluator

    task = TASKS["heart"]
    assert isinstance(task, TabularTask)
    rows = golden_of(task)
    (got,) = ReferenceEvaluator(graph_of(task)).run(None, {"features": rows})
    assert got[1] == pytest.approx(0.5)
