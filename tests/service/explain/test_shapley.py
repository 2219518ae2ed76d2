"""Shapley and Owen values are what their definitions and the shap package say."""

from collections.abc import Callable
from importlib import import_module
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.contract.tabular import TabularTask
from service.errors import InvalidOutput
from service.explain.explain import columns_of
from service.explain.shapley import Predict, owen_values, shapley_values
from service.models.artifacts.artifact import Background
from service.models.versions.loader import ModelLoader
from service.tasks import TASKS
from tests.requirements import cannot_run

MODELS = Path(__file__).resolve().parents[3] / "models"
ROW = np.array([1.0, -2.0, 0.5, np.nan, 3.0], np.float32)
BACKGROUND = Background(
    np.array([[0, 1, 0.5, 2, 3], [2, -2, 1, np.nan, -1], [1, 0, 0, 1, 0]], np.float32),
    np.array([5, 1, 2]),
)


def tangled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every field's effect depends on others'; missing counts as 0.3."""
    a, b, c, d, e = np.nan_to_num(rows.astype(np.float64), nan=0.3).T
    odds = a * b + np.sin(c * d) - e * a + b * b * d / 4
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def values_of(members: set[int]) -> NDArray[np.float64]:
    """The worth of some columns in both scales, from the definition."""
    taken = np.isin(np.arange(5), list(members))
    p = tangled(np.where(taken, ROW, BACKGROUND.rows)).astype(np.float64)
    scales = np.stack([p, np.log(p / (1 - p))], axis=1)
    return np.asarray(BACKGROUND.weights @ scales / BACKGROUND.weights.sum())


def mean_of_orders(orders: list[tuple[tuple[int, ...], ...]]) -> dict[tuple[int, ...], Any]:
    """Return what each player adds on average over all orders of the players."""
    added: dict[tuple[int, ...], Any] = dict.fromkeys(orders[0], 0.0)
    for order in orders:
        present: set[int] = set()
        for player in order:
            before, present = values_of(present), present | set(player)
            added[player] = added[player] + (values_of(present) - before) / len(orders)
    return added


@pytest.mark.parametrize("groups", [[(0,), (1,), (2,), (3,), (4,)], [(0, 3), (1,), (2, 4)]])
def test_shapley_values_are_the_mean_over_all_orders(groups: list[tuple[int, ...]]) -> None:
    """Fields and groups, weights, values that agree with a reference row, and missing ones."""
    expected = mean_of_orders(list(permutations(groups)))
    shares = shapley_values(tangled, ROW, BACKGROUND, groups)
    # Both are sums of the same float32 answers, of some units, in float64.
    assert np.allclose(shares.parts, [expected[group] for group in groups], rtol=0, atol=1e-6)
    assert np.allclose(shares.base, values_of(set()), rtol=0, atol=1e-6)
    assert np.allclose(shares.base + shares.parts.sum(axis=0), values_of(set(range(5))), atol=1e-6)


def test_owen_values_are_the_mean_over_orders_that_keep_groups_together() -> None:
    """The orders in which a group that stays whole comes at once, the split one in a row."""
    groups = [(0, 3), (1,), (2, 4)]
    orders = [
        tuple(chain.from_iterable(permuted if group == (0, 3) else [group] for group in order))
        for order in permutations(groups)
        for permuted in permutations([(0,), (3,)])
    ]
    expected = mean_of_orders(orders)
    owen = owen_values(tangled, ROW, BACKGROUND, groups, 0)
    assert np.allclose(owen.parts, [expected[(0,)], expected[(3,)]], rtol=0, atol=1e-6)
    group = shapley_values(tangled, ROW, BACKGROUND, groups).parts[0]
    assert np.allclose(owen.parts.sum(axis=0), group, rtol=0, atol=1e-9)


def test_a_row_that_is_its_own_background_owes_nothing_to_any_field() -> None:
    """Base is the answer and every part 0, missing fields included."""
    shares = shapley_values(
        tangled, ROW, Background(ROW[None], np.array([3])), [[n] for n in range(5)]
    )
    assert not shares.parts.any()
    assert shares.base[0] == tangled(ROW[None])[0]


@pytest.mark.parametrize("answer", [np.nan, 1.5, -0.1])
def test_answers_that_are_no_probability_are_refused(answer: float) -> None:
    """An explanation of a broken model would be nonsense that adds up."""

    def broken(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full(len(rows), answer, np.float32)

    with pytest.raises(InvalidOutput):
        shapley_values(broken, ROW, BACKGROUND, [[n] for n in range(5)])


def loaded(name: str) -> tuple[TabularTask, Predict, Background]:
    served = ModelLoader(MODELS, TASKS, "cpu").load_version(name)
    assert isinstance(served.task, TabularTask)
    assert served.background is not None
    return (
        served.task,
        lambda rows: served.session.run(rows)["probability"],
        served.background,
    )


def example(task: TabularTask) -> NDArray[np.float32]:
    extra: Any = task.payload.model_config["json_schema_extra"]
    return np.asarray(task.to_array([task.payload.model_validate(extra["example"])])[0])


@pytest.mark.parametrize("name", ["heart", "heart-mlp16", "credit", "credit-logistic"])
def test_contributions_of_committed_models_add_up(name: str) -> None:
    """Base and parts make the answer of a prediction, to 1e-5, in probability and in log-odds."""
    task, predict, background = loaded(name)
    with np.load(MODELS / name / "1" / "golden.npz") as golden:
        rows = golden["input"][[0, 1, 33]]
    for row in [example(task), *rows]:
        shares = shapley_values(predict, row, background, columns_of(task))
        p = np.float64(predict(row[None])[0])
        sure = np.clip(p, 1e-7, 1 - 1e-7)
        added = shares.base + shares.parts.sum(axis=0)
        assert np.abs(added - [p, np.log(sure / (1 - sure))]).max() <= 1e-5


# Of the package and what it imports: not ours to mend.
IGNORING_SHAPS = pytest.mark.filterwarnings("ignore")


def by_shap(
    function: Callable[[Any], Any], reference: NDArray[Any], row: NDArray[Any]
) -> NDArray[Any]:
    try:
        shap = import_module("shap")
    except ImportError as error:
        cannot_run(f"the shap package of the dev extra is not there: {error}")
    masker = shap.maskers.Independent(reference, max_samples=len(reference))
    explainer = shap.explainers.ExactExplainer(function, masker)
    return np.asarray(explainer(row[None], max_evals=1 << 15, silent=True).values[0])


@IGNORING_SHAPS
def test_heart_agrees_with_the_shap_package() -> None:
    """13 fields, 20 rows that count the same (shap knows no weights), to 1e-4."""
    task, predict, background = loaded("heart")
    row = example(task)
    alike = Background(background.rows, np.ones_like(background.weights))
    ours = shapley_values(predict, row, alike, columns_of(task)).parts[:, 0]
    theirs = by_shap(lambda rows: predict(rows.astype(np.float32)), background.rows, row)
    assert np.abs(ours - theirs).max() <= 1e-4


@IGNORING_SHAPS
def test_credit_factors_agree_with_the_shap_package() -> None:
    """Eight factors, given to shap as eight switches of the same weighted game, to 1e-4."""
    task, predict, background = loaded("credit")
    row, groups = example(task), columns_of(task)
    weights = background.weights / background.weights.sum()

    def game(switches: NDArray[Any]) -> NDArray[Any]:
        worth = []
        for switch in switches:
            taken = np.zeros(len(row), bool)
            for on, group in zip(switch, groups, strict=True):
                taken[group] = on > 0.5
            worth.append(weights @ predict(np.where(taken, row, background.rows)))
        return np.array(worth)

    ours = shapley_values(predict, row, background, groups).parts[:, 0]
    theirs = by_shap(game, np.zeros((1, len(groups))), np.ones(len(groups)))
    assert np.abs(ours - theirs).max() <= 1e-4
