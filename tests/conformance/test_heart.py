"""Tests of Foretell's model of heart disease: golden answers, and NaN in its contract."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.protocol import Model, Server, binary_outputs, refused

GOLDEN = Path(__file__).resolve().parents[2] / "models" / "heart" / "1" / "golden.npz"


@pytest.fixture(scope="module")
def golden(heart: Model) -> tuple[Any, Any]:
    """Return inputs, with NaN where nothing was recorded, and Keras's answers to them."""
    if heart.metadata.get("versions", ["1"]) != ["1"]:
        pytest.skip("another version than the one whose answers are in the repository")
    with np.load(GOLDEN) as arrays:
        return arrays["input"], arrays["probability"]


@pytest.mark.usefixtures("binary")
def test_binary_answers_are_those_of_training(
    server: Server, heart: Model, golden: tuple[Any, Any]
) -> None:
    """Binary answers are the golden ones; NaN in an input means "not recorded"."""
    rows, wanted = golden
    assert np.isnan(rows).any()
    got = binary_outputs(server.infer_binary(heart, *heart.binary({"features": rows})))
    # Other processors sum in another order; training/artifacts/golden.py explains the tolerance.
    np.testing.assert_allclose(got["probability"], wanted, atol=1e-4)


@pytest.mark.parametrize("missing", [None, float("nan")], ids=["null", "NaN"])
def test_json_can_say_not_recorded(
    server: Server, heart: Model, golden: tuple[Any, Any], missing: float | None
) -> None:
    """JSON says "not recorded" by null, or by NaN, which Triton's client writes."""
    rows, wanted = golden
    request = heart.request({"features": rows})
    data = request["inputs"][0]["data"]
    request["inputs"][0]["data"] = [missing if np.isnan(value) else value for value in data]
    answer = server.http.post(heart.infer, content=json.dumps(request).encode())
    if answer.status_code == 400 and missing is None:
        pytest.skip("this server does not take null, which the protocol leaves open")
    assert answer.status_code == 200, answer.text
    got = answer.json()["outputs"][0]["data"]
    np.testing.assert_allclose(got, wanted, atol=1e-4)


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e38])
def test_infinity_is_the_callers_error(
    server: Server, heart: Model, golden: tuple[Any, Any], value: float
) -> None:
    """Infinity in an input, for which no probability exists, is refused."""
    if server.get("/v2")["name"] != "foretell":
        pytest.skip("Foretell's own promise")
    rows = golden[0].copy()
    rows[1] = value
    message = refused(server.infer_binary(heart, *heart.binary({"features": rows})))
    assert "age" in message


@pytest.mark.parametrize(
    ("datatype", "value", "taken"),
    [
        ("FP64", 57.5, True),
        ("FP64", 57.1, False),
        ("FP16", 57.5, True),
        ("INT64", 57, True),
        ("INT64", 2**24 + 1, False),
        ("UINT8", 57, True),
    ],
)
def test_other_datatypes_are_cast_where_that_loses_nothing(
    server: Server, heart: Model, datatype: str, value: float, taken: bool
) -> None:
    """Other datatypes are cast if no value changes by it, and refused otherwise."""
    if server.get("/v2")["name"] != "foretell":
        pytest.skip("Foretell's own promise")
    request = heart.request()
    request["inputs"][0]["datatype"] = datatype
    data = request["inputs"][0]["data"]
    request["inputs"][0]["data"] = [
        value if place == 3 else data[place] if datatype.startswith("FP") else int(data[place])
        for place in range(len(data))
    ]
    answer = server.http.post(heart.infer, json=request)
    if taken:
        assert answer.status_code == 200, answer.text
    else:
        assert "FP32" in refused(answer)


def test_v2_and_the_typed_route_agree(server: Server, heart: Model) -> None:
    """A patient gets the same probability by V2 and by the typed route."""
    patient = {"age": 57, "sex": 1, "cp": 4, "trestbps": 140}
    typed = server.http.post("/v1/heart/predict", json=patient)
    if typed.status_code == 404:
        pytest.skip("this server has no typed routes")
    row = [57, 1, 4, 140, *[None] * 9]
    tensor = {"name": "features", "shape": [1, 13], "datatype": "FP32", "data": row}
    answer = server.infer(heart, {"inputs": [tensor]})
    assert answer["outputs"][0]["data"] == [pytest.approx(typed.json()["probability"], abs=1e-6)]
