"""Counterfactuals are small, allowed, proved; reasons are in words."""

from itertools import product
from math import nan
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.contract.fields import Feature
from service.contract.tabular import TabularTask
from service.contract.wording import ActionableField, reason
from service.explain.counterfactuals import counterfactuals
from service.explain.explain import explain
from service.models.versions.loader import ModelLoader
from service.tasks import TASKS
from tests.service.explain.test_shapley import MODELS, example

FEATURES = (
    Feature(name="debt", kind="number", required=True, low=0, high=100),
    Feature(name="late", kind="code", required=True, codes={-1: "", 0: "", 1: "", 2: "", 3: ""}),
    Feature(name="paid", kind="number", required=True, low=0, high=100),
)
DOWN = ActionableField("debt", "down", 0)
CHANGES = (DOWN, ActionableField("late", "down", -1), ActionableField("paid", "up", "debt"))


def odds(rows: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Below a half where debt / 10 + 2 late - paid / 20 is below the threshold."""
    debt, late, paid = rows.astype(np.float64).T
    return np.asarray(1 / (1 + np.exp(threshold - debt / 10 - 2 * late + paid / 20)), np.float32)


def found(row: list[float], threshold: float, changes: Any = CHANGES) -> list[list[float]]:
    rows = counterfactuals(
        lambda rows: odds(rows, threshold), np.array(row, np.float32), 0.5, FEATURES, changes
    )
    return [each.tolist() for each in rows]


def test_the_smallest_change_of_one_field_comes_first() -> None:
    """From 50 / 10 + 2 * 2 = 9 to below 7.35: by a third, 17 of 50, or 34 of 50 of the way."""
    assert found([50, 2, 0], 7.35) == [[50, 1, 0], [33, 2, 0], [50, 2, 34]]


def test_two_fields_change_where_one_is_not_enough() -> None:
    """Debt and late together; no other row of the same two fields is less of a way and crosses."""
    first, *_ = found([50, 2, 0], 1.5, CHANGES[:2])
    assert first[2] == 0
    ways = [
        (50 - debt) / 50 + (2 - late) / 3
        for debt, late in product(range(51), (-1, 0, 1, 2))
        if debt / 10 + 2 * late < 1.5
    ]
    # The grid has 24 values of debt, of 50; then it is made smaller by itself, to the step.
    assert (50 - first[0]) / 50 + (2 - first[1]) / 3 == pytest.approx(min(ways))


def test_nothing_is_told_where_nothing_crosses() -> None:
    """All three at their limits are not enough; none is declared; the row is at its limits."""
    assert found([50, 2, 0], -9) == []
    assert found([50, 2, 0], 7, ()) == []
    assert found([0, -1, 0], -3) == []


def test_what_is_not_recorded_is_not_changed() -> None:
    """A missing value has no way to go."""
    assert found([nan, 2, 0], 7, (DOWN,)) == []


@pytest.mark.parametrize("name", ["heart", "credit"])
def test_counterfactuals_of_committed_models_are_allowed_and_proved(name: str) -> None:
    """Only declared fields, in their direction and to their limit; the model says below."""
    served = ModelLoader(MODELS, TASKS, "cpu").load_version(name)
    task = served.task
    assert isinstance(task, TabularTask)
    with np.load(MODELS / name / "1" / "golden.npz") as golden:
        rows = [example(task), *golden["input"][:32]]
    changes = {change.field: change for change in task.wording.changes}
    places = {feature.name: place for place, feature in enumerate(task.features)}
    told = 0
    for row in rows:
        explanation = explain(task, served, row)
        assert bool(explanation.counterfactuals) == (explanation.counterfactuals_note is None)
        for each in explanation.counterfactuals:
            other = row.copy()
            for field, value in each.changes.items():
                change, old = changes[field], row[places[field]]
                limit = row[places[change.limit]] if isinstance(change.limit, str) else change.limit
                low, high = sorted((old, limit))
                assert low <= value <= high
                other[places[field]] = value
            probability = served.session.run(other[None])["probability"][0]
            assert probability == np.float32(each.probability)
            assert probability < served.card.threshold
            told += 1
    assert told


def test_reasons_are_ordered_and_only_for_adverse_decisions() -> None:
    """The reason that raised the estimate most comes first; without an adverse decision, none."""
    served = ModelLoader(MODELS, TASKS, "cpu").load_version("credit")
    task = served.task
    assert isinstance(task, TabularTask)
    row = example(task)
    adverse = explain(task, served, row)
    assert adverse.reasons[0].startswith("Repayment two months late in September raised the ")
    raised = [c.text for c in adverse.contributions if c.probability >= 0.005]
    assert adverse.reasons == raised
    row[5] = -1
    paid = explain(task, served, row)
    assert not paid.decision
    assert (paid.reasons, paid.counterfactuals) == ([], [])
    assert paid.counterfactuals_note == "the decision is not adverse"


@pytest.mark.parametrize(
    ("contribution", "said"),
    [
        (0.114, "Being late raised the estimate by 11 points"),
        (0.009, "Being late raised the estimate by 1 point"),
        (-0.021, "Being late lowered the estimate by 2 points"),
        (0.004, "Being late hardly changed the estimate"),
    ],
)
def test_a_reason_is_a_sentence(contribution: float, said: str) -> None:
    """Points are hundredths, rounded; none is nearly nothing."""
    assert reason("being late", contribution) == said


@pytest.mark.parametrize("name", ["heart", "credit"])
def test_every_value_has_a_phrase(name: str) -> None:
    """Each code of each field, a number, and where it may be left out, what is missing."""
    task = TASKS[name]
    assert isinstance(task, TabularTask)
    for feature in task.features:
        values = [*map(float, feature.codes)] or [feature.low or 0.0]
        for value in values if feature.required else [*values, nan]:
            said = task.parts[feature.name].phrase({feature.name: value})
            assert said
            assert "{" not in said
    assert {change.field for change in task.wording.changes} <= task.parts.keys()
    assert task.wording.phrases.keys() == task.parts.keys()
