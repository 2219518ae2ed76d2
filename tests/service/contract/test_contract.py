"""The contract: what is read from a task's declaration, and what its hash stands for."""

from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from service.contract.answers import TabularPrediction
from service.contract.fields import Code, Number, Payload
from service.contract.signature import Contract
from service.contract.tabular import TabularTask
from service.tasks import TASKS

YES = Code({0: "no", 1: "yes"})


class Row(Payload):
    """Made up."""

    height: Annotated[float, Number("cm", 50, 250)] = Field(description="Height")
    weight: Annotated[float, Number("kg", 2, 400, zero_is_missing=True)] | None = None
    smoker: Annotated[int, YES] | None = None


class Answer(TabularPrediction):
    """Made up."""

    tall: bool


TASK = TabularTask(name="row", title="Row", payload=Row, prediction=Answer, decision="tall")


def test_features_follow_the_declared_order() -> None:
    """Names, kinds, bounds and codes come from the payload's fields, in their order."""
    height, weight, smoker = TASK.features
    assert (height.name, height.kind, height.required, height.unit) == (
        "height",
        "number",
        True,
        "cm",
    )
    assert (weight.low, weight.high, weight.zero_is_missing) == (2, 400, True)
    assert (smoker.kind, smoker.required, smoker.codes) == ("code", False, {0: "no", 1: "yes"})


def test_rows_become_an_array_in_that_order() -> None:
    """None and the data's own sign for not recorded become NaN."""
    rows = [Row(height=180, weight=75, smoker=1), Row(height=160, weight=0), Row(height=170)]
    array = TASK.to_array(rows)
    assert array.dtype == np.float32
    expected = [[180, 75, 1], [160, np.nan, np.nan], [170, np.nan, np.nan]]
    np.testing.assert_array_equal(array, np.array(expected, np.float32))


def test_a_field_without_declaration_is_refused() -> None:
    """A payload field that is neither Number nor Code cannot become a column."""

    class Loose(Payload):
        note: str

    task = TabularTask(name="x", title="x", payload=Loose, prediction=Answer, decision="tall")
    with pytest.raises(TypeError, match="'note' declares neither"):
        _ = task.features


def changed(**changes: object) -> Contract:
    facts = TASK.contract.model_dump(mode="json")
    facts["features"][0] |= changes
    return Contract.model_validate(facts)


@pytest.mark.parametrize("change", [{"low": 49}, {"unit": "m"}, {"name": "size"}])
def test_the_hash_changes_with_what_a_number_means(change: dict[str, object]) -> None:
    """Order, names, units, bounds and codes are hashed."""
    assert changed(**change).hash != TASK.contract.hash


def test_the_hash_survives_better_wording() -> None:
    """The meaning of a code may be said better without training anew."""
    facts = TASK.contract.model_dump()
    facts["features"][2]["codes"] = {1: "does smoke", 0: "does not"}
    assert Contract.model_validate(facts).hash == TASK.contract.hash


def test_the_hash_changes_with_the_order_of_fields() -> None:
    """The network knows columns by their place only."""
    facts = TASK.contract.model_dump()
    facts["features"] = facts["features"][::-1]
    assert Contract.model_validate(facts).hash != TASK.contract.hash


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.booleans())
def test_a_number_is_accepted_exactly_within_its_bounds(value: float) -> None:
    """Every float and integer from low to high, nothing else; never a boolean."""
    fits = not isinstance(value, bool) and 50 <= value <= 250
    try:
        row = Row.model_validate({"height": value})
    except ValidationError:
        assert not fits
    else:
        assert fits
        assert row.height == value


@given(st.floats() | st.integers(-3, 3) | st.booleans() | st.text(max_size=2))
def test_a_code_is_accepted_only_as_one_of_its_numbers(value: object) -> None:
    """0, 1, 0.0 and 1.0; not true, not "1", not 0.5."""
    fits = not isinstance(value, bool | str) and value in (0, 1)
    try:
        Row.model_validate({"height": 100, "smoker": value})
    except ValidationError:
        assert not fits
    else:
        assert fits


def test_every_task_is_found_and_named_after_its_module() -> None:
    """Discovery needs no list to be kept."""
    assert set(TASKS) == {"heart", "credit", "digits", "fashion"}
    names = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal"
    assert " ".join(f.name for f in TASKS["heart"].contract.features) == names
    assert len(TASKS["credit"].contract.features) == 23


TABLES = [task for task in TASKS.values() if isinstance(task, TabularTask)]


@pytest.mark.parametrize("task", TABLES, ids=lambda task: task.name)
def test_a_form_can_be_made_from_the_schema_alone(task: TabularTask) -> None:
    """Every field has a title, is in one group, and an example; the decision has words."""
    schema = task.payload.model_json_schema()
    grouped = [
        name
        for group in schema["x-groups"]
        for part in group.get("columns", [group])
        for name in part["fields"]
    ]
    assert sorted(grouped) == sorted(task.payload.model_fields)
    for group in schema["x-groups"]:
        for column in group.get("columns", []):
            assert len(column["fields"]) == len(group["rows"])
    assert all(field.description for field in task.payload.model_fields.values())
    task.payload.model_validate(schema["example"])
    assert schema["example"].keys() == task.payload.model_fields.keys()
    decision = task.prediction.model_json_schema()["properties"][task.decision]
    assert decision["x-meanings"].keys() == {"true", "false"}


def test_bounds_are_told_in_full() -> None:
    """Not as 1e+07, which few people read."""
    assert Number("NT$", -10_000_000, 0.5).expected == "a number from -10000000 to 0.5 (NT$)"
