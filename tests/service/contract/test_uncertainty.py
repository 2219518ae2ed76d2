"""Answers tell their uncertainty: sets, certainty, warnings."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.api.app import create_app
from service.cli import main
from service.contract.answers import ModelRef
from service.contract.signature import Outputs
from service.contract.tabular import TabularTask
from service.contract.uncertainty import (
    Confidence,
    ConformalSets,
    OodThreshold,
    RangeCheck,
    TrainingRange,
)
from service.errors import InvalidOutput
from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings
from service.tasks import TASKS
from service.tasks.digits import TASK as DIGITS
from service.tasks.heart import TASK as HEART
from tests.artifacts import write_artifact, write_card
from tests.waiting import wait_until

REF = ModelRef(name="m", version="1")
SEEN = (
    TrainingRange(name="age", low=29, high=77),
    TrainingRange(name="sex", codes=(0, 1)),
    TrainingRange(name="oldpeak", low=0, high=6.2),
    TrainingRange(name="thal", codes=(3, 7)),
)
PATIENT = {"age": 57, "sex": 1, "oldpeak": 0.2, "thal": 7}


def sets(threshold: float) -> ConformalSets:
    return ConformalSets(
        coverage=0.95,
        threshold=threshold,
        calibrated_on="rows",
        calibrated_rows=100,
        measured=0.95,
        measured_on="other rows",
        measured_rows=100,
        non_singleton_share=0.1,
    )


ROWS = Confidence(conformal=sets(0.2), training_ranges=SEEN)
PICTURES = Confidence(
    conformal=sets(0.1),
    ood=OodThreshold(threshold=0.5, chosen_on="pictures", learned_from="others", flagged={}),
)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose cards have the section."""
    folder = tmp_path_factory.mktemp("trusted")
    for task in TASKS.values():
        confidence = ROWS if isinstance(task, TabularTask) else PICTURES
        written = write_artifact(folder, task)
        write_card(written, task, confidence=confidence)
    settings = Settings(models_dir=folder, device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


def judged(probability: float, values: dict[str, Any], confidence: Confidence | None) -> Any:
    """Return the confidence that is written of a row."""
    row = HEART.values(HEART.payload.model_validate(values))
    outputs: Outputs = {"probability": np.array([probability], np.float32)}
    return json.loads(HEART.writer(REF, 0.5, confidence)(outputs, row))


@pytest.mark.parametrize(
    ("threshold", "probability", "certainty"),
    [
        (0.2, 0.1, "decided"),
        (0.2, 0.2, "uncertain"),
        (0.2, 0.5, "uncertain"),
        (0.2, 0.9, "decided"),
        (0.7, 0.5, "uncertain"),  # neither is likely enough
        (0.7, 0.75, "decided"),
        (0.0, 1.0, "uncertain"),  # nothing is known: both always
    ],
)
def test_a_row_is_decided_where_its_set_holds_one_answer(
    threshold: float, probability: float, certainty: str
) -> None:
    """Yes if the probability is in the set, no if its complement is; both or none is uncertain."""
    confidence = Confidence(conformal=sets(threshold))
    answer = judged(probability, PATIENT, confidence)
    assert answer["certainty"] == certainty
    as_float32 = np.array([np.float32(probability)], np.float64)
    assert confidence.conformal.decided(as_float32).tolist() == [certainty == "decided"]


def test_a_field_outside_the_training_range_is_named() -> None:
    """With its value and the range; codes that training never saw likewise."""
    answer = judged(0.9, {"age": 90, "sex": 1, "oldpeak": 6.2, "thal": 6}, ROWS)
    assert answer["in_distribution"] is False
    assert answer["warnings"] == [
        "age: 90 years is outside the range of the training rows, 29 to 77",
        "thal: 6 (fixed defect) does not occur in the training rows, which have 3, 7",
    ]


def test_what_is_not_recorded_never_warns() -> None:
    """Null, left out, NaN, and the 0 that stands for it; the ends of a range are inside."""
    seen = (*SEEN, TrainingRange(name="chol", low=126, high=564))
    known = Confidence(conformal=sets(0.2), training_ranges=seen)
    answer = judged(0.9, {"age": 29, "sex": 1, "chol": 0, "thal": None}, known)
    assert (answer["in_distribution"], answer["warnings"]) == (True, [])
    nothing = np.full((1, len(HEART.features)), np.nan, np.float32)
    assert not RangeCheck(HEART.features, seen).outside(nothing).any()


def test_a_field_that_training_never_saw_recorded_has_no_range() -> None:
    """There is nothing to be outside of, and nothing is claimed."""
    known = Confidence(
        conformal=sets(0.2), training_ranges=(TrainingRange(name="age"), TrainingRange(name="chol"))
    )
    assert judged(0.9, {"age": 90, "sex": 1, "chol": 400}, known)["warnings"] == []


@given(
    st.lists(
        st.tuples(
            st.floats(18, 120),
            st.none() | st.floats(-10, 10) | st.sampled_from([6.2, 6.2000001, 6.3, 0.0, -1e-9]),
            st.none() | st.sampled_from([3, 6, 7]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_rows_alone_and_in_a_table_are_judged_alike(rows: list[Any]) -> None:
    """One by one in Python, together in float32: also where float32 cannot tell the difference."""
    ranges = RangeCheck(HEART.features, SEEN)
    payloads = [
        HEART.payload.model_validate({"age": age, "sex": 1, "oldpeak": oldpeak, "thal": thal})
        for age, oldpeak, thal in rows
    ]
    alone = [bool(ranges.out_of_range(HEART.values(payload))) for payload in payloads]
    assert ranges.outside(HEART.to_array(payloads)).tolist() == alone


def test_a_card_without_the_section_gives_nulls(client: TestClient) -> None:
    """An older model answers as it did; nothing is claimed of it."""
    answer = client.post("/v1/heart/predict", json=PATIENT).json()
    assert (answer["certainty"], answer["in_distribution"], answer["warnings"]) == (None, None, [])
    picture = client.post("/v1/digits/predict", json={"pixels": pixels(255)}).json()
    assert picture["prediction_set"] is None
    assert (picture["in_distribution"], picture["warnings"]) == (None, [])
    explained = client.post("/v1/heart/explain", json=PATIENT).json()
    assert (explained["certainty"], explained["in_distribution"]) == (None, None)


def pixels(brightness: int) -> list[list[int]]:
    """The upper half bright: the fake model's score is the mean."""
    return [[brightness] * 28] * 20 + [[0] * 28] * 8


def test_pictures_say_their_set_and_whether_they_are_familiar(trusted: TestClient) -> None:
    """Labels, the likeliest first; a warning says the score and the threshold."""
    bright, dim = (
        trusted.post("/v1/digits/predict", json={"pixels": pixels(level)}).json()
        for level in (255, 100)
    )
    likely = [digit for digit in range(10) if bright["probabilities"][digit] >= 0.1]
    assert sorted(bright["prediction_set"]) == likely
    assert bright["prediction_set"][0] == bright["digit"]
    assert bright["in_distribution"] is True
    assert bright["warnings"] == []
    assert dim["in_distribution"] is False
    (warning,) = dim["warnings"]
    assert "in-distribution score 0.28, expected at least 0.5" in warning


def test_a_set_is_never_empty() -> None:
    """The likeliest class is in it however small its probability."""
    assert sets(0.9).classes([0.3, 0.4, 0.3]) == [1]
    assert sets(0.3).classes([0.3, 0.4, 0.3]) == [1, 0, 2]


def test_garments_are_named_in_their_sets(trusted: TestClient) -> None:
    """By label, as in the answer itself."""
    answer = trusted.post("/v1/fashion/predict", json={"pixels": pixels(255)}).json()
    assert answer["prediction_set"][0] == answer["garment"]
    assert all(isinstance(each, str) for each in answer["prediction_set"])


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_a_score_that_is_none_is_not_answered(score: float) -> None:
    """A score out of 0..1 is an error, as a probability is."""
    outputs: Outputs = {
        "probabilities": np.full((1, 10), 0.1, np.float32),
        "digit": np.array([0]),
        "in_distribution_score": np.array([score], np.float32),
    }
    with pytest.raises(InvalidOutput):
        DIGITS.answers(outputs, np.zeros((1, 28, 28), np.uint8), REF, 0.5, PICTURES)


def test_explanations_repeat_what_predictions_say(trusted: TestClient) -> None:
    """An explanation has the certainty, sets and warnings of the prediction."""
    row = {"age": 90, "sex": 1}
    for path, body, names in (
        ("heart", row, ("certainty", "in_distribution", "warnings")),
        ("digits", {"pixels": pixels(80)}, ("prediction_set", "in_distribution", "warnings")),
    ):
        predicted = trusted.post(f"/v1/{path}/predict", json=body).json()
        explained = trusted.post(f"/v1/{path}/explain", json=body).json()
        assert [explained[name] for name in names] == [predicted[name] for name in names]
        assert predicted["warnings"]


@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson", "text/csv"])
def test_tables_judge_each_row_as_it_would_be_alone(trusted: TestClient, media: str) -> None:
    """In two columns; a bad row has neither. Warnings are for single rows."""
    rows = [{"age": age, "sex": 1, "thal": thal} for age in (20, 50, 77, 90) for thal in (3, 6)]
    alone = [trusted.post("/v1/heart/predict", json=row).json() for row in rows]
    answer = trusted.post(
        "/v1/heart/predict/batch?on_error=report",
        json=[*rows, {"age": 500, "sex": 1}],
        headers={"accept": media},
    )
    if media == "text/csv":
        head, *lines = answer.text.splitlines()
        assert head == "probability,disease,certainty,in_distribution,error"
        cells = [line.split(",")[2:4] for line in lines]
        got = [(c, f == "true") for c, f in cells[:-1]]
        assert cells[-1] == ["", ""]
    else:
        text = answer.text.replace("\n", ",").rstrip(",")
        found = json.loads(text if media == "application/json" else f"[{text}]")
        got = [(each["certainty"], each["in_distribution"]) for each in found[:-1]]
        assert (found[-1]["certainty"], found[-1]["in_distribution"]) == (None, None)
    assert got == [(each["certainty"], each["in_distribution"]) for each in alone]
    assert {known for _, known in got} == {True, False}


def test_the_raw_protocol_gives_the_score(trusted: TestClient) -> None:
    """The score is the third output of pictures over /v2; only typed routes compare it."""
    tensor = {
        "name": "image",
        "shape": [1, 28, 28],
        "datatype": "UINT8",
        "data": [pixels(255)],
    }
    answer = trusted.post("/v2/models/digits/infer", json={"inputs": [tensor]}).json()
    outputs = {output["name"]: output for output in answer["outputs"]}
    # 20 of 28 rows are white; the fake's score is the mean brightness.
    assert outputs["in_distribution_score"]["data"] == pytest.approx([20 / 28], abs=1e-6)


def test_the_new_fields_are_in_the_schema(client: TestClient) -> None:
    """With descriptions, for forms made from it."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name, fields in {
        "HeartPrediction": ("certainty", "in_distribution", "warnings"),
        "DigitPrediction": ("prediction_set", "in_distribution", "warnings"),
        "Explanation": ("certainty", "in_distribution", "warnings"),
    }.items():
        for field in fields:
            assert schemas[name]["properties"][field]["description"]


def test_a_card_keeps_the_section(tmp_path: Path) -> None:
    """Written and read back; a card without it has none."""
    folder = write_artifact(tmp_path, HEART)
    assert read_artifact(tmp_path, "heart").card.confidence is None
    write_card(folder, HEART, confidence=ROWS)
    assert read_artifact(tmp_path, "heart").card.confidence == ROWS


def test_the_command_shows_and_compares_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In brief: the ranges of fields only where they differ."""
    other = ROWS.model_copy(
        update={
            "conformal": sets(0.3),
            "training_ranges": (TrainingRange(name="age", low=18, high=77),),
        }
    )
    for version, confidence in (("1", ROWS), ("2", other)):
        folder = write_artifact(tmp_path, HEART, version=version)
        write_card(folder, HEART, confidence=confidence)
    where = ["--models-dir", str(tmp_path)]
    assert main(["models", *where, "show", "heart", "1"]) == 0
    shown = capsys.readouterr().out
    assert "'threshold': 0.2" in shown
    assert "oldpeak" not in shown
    assert main(["models", *where, "diff", "heart", "1", "2"]) == 0
    text = capsys.readouterr().out
    assert "  conformal threshold: 0.2 -> 0.3\n" in text
    assert "  range of age: (29.0, 77.0) -> (18.0, 77.0)\n" in text
    assert "  range of sex: (0, 1) -> nothing\n" in text
