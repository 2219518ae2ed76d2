"""The features of the credit networks: quantities by hand, bounds, blindness."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.tasks.credit import TASK
from training.artifacts.golden import golden_inputs
from training.data.synthetic import synthetic_credit
from training.layers.credit_features import CreditFeatures, logarithm, normal_scores
from training.recipes import credit

EXAMPLE: dict[str, Any] = TASK.payload.model_config["json_schema_extra"]["example"]  # type: ignore[index, assignment]
NAMES = [feature.name for feature in TASK.features]


@pytest.fixture(scope="module")
def features() -> CreditFeatures:
    return credit.features(credit.prepare(synthetic_credit()).train.inputs)


def row(**changes: float) -> NDArray[np.float32]:
    """Encode the contract's example, with some fields changed, as the network's input."""
    return np.array([[{**EXAMPLE, **changes}[name] for name in NAMES]], np.float32)


def test_quantities_are_those_computed_by_hand(features: CreditFeatures) -> None:
    """Logarithms, ratios to the limit, payments by bills and changes of bills are as by hand."""
    found = np.asarray(features.quantities(row()))[0]
    assert len(found) == 42
    assert found[0] == pytest.approx(np.log(50_001))
    assert found[1] == 37
    assert found[2] == pytest.approx(np.log(46_001))
    assert found[8] == pytest.approx(np.log(2_001))
    assert found[14] == pytest.approx(46 / 50)
    assert found[20] == pytest.approx(2 / 50)
    assert found[26] == pytest.approx(2_001 / 48_001)  # September's payment, August's bill
    assert found[31] == pytest.approx((46 - 48) / 50)
    assert found[36] == pytest.approx((46 + 48 + 49 + 28 + 29 + 29.5) / 6 / 50)
    assert found[37] == pytest.approx(49 / 50)
    assert found[41] == pytest.approx(np.log(4_001))


def test_amounts_owed_to_the_client_have_the_logarithm_of_their_size(
    features: CreditFeatures,
) -> None:
    """Logarithms keep the sign and are 0 at 0; a bill of nothing counts as paid."""
    amounts = np.array([-99.0, 0.0, 99.0], np.float32)
    assert np.asarray(logarithm(amounts)) == pytest.approx([-np.log(100), 0, np.log(100)])
    settled = np.asarray(features.quantities(row(bill_amt2=-500, pay_amt1=0)))[0, 26]
    assert settled == 1


def test_every_status_lights_its_own_column_and_late_months_are_counted(
    features: CreditFeatures,
) -> None:
    """Shares of months and delays are as by hand; four months late and nine are one status."""
    found = np.asarray(features.indicators(row()))[0]
    statuses, rest = found[:42].reshape(6, 7), found[42:49]
    assert statuses.argmax(axis=1).tolist() == [4, 2, 2, 2, 2, 2]
    assert statuses.sum() == 6
    assert rest == pytest.approx([1 / 6, 1 / 6, 0, 0, 5 / 6, 1, 2 / 6])
    four, nine = (np.asarray(features.indicators(row(pay_0=n))) for n in (4, 9))
    assert (four == nine).all()


def test_ranks_become_normal_scores() -> None:
    """The median is 0, quantiles are those of the normal distribution, ties share a score."""
    values = np.stack([np.linspace(-3, 3, 1001), np.zeros(1001)], axis=1)
    knots, scores = normal_scores(values)
    assert np.interp(0, knots[0], scores[0]) == pytest.approx(0, abs=1e-3)
    assert np.interp(3 * 0.6827, knots[0], scores[0]) == pytest.approx(1, abs=0.02)
    assert np.interp(0, knots[1], scores[1]) == pytest.approx(0, abs=1e-6)
    assert (np.diff(knots, axis=1) > 0.009).all()


def test_columns_are_bounded_everywhere_in_the_contract(features: CreditFeatures) -> None:
    """The contract's extremes, and NaN, give finite columns of at most 4."""
    rows = golden_inputs(TASK, synthetic_credit())
    rows = np.concatenate([rows, np.full((1, len(NAMES)), np.nan, np.float32)])
    columns = np.asarray(features(rows))
    assert columns.shape == (len(rows), features.compute_output_shape((None, 23))[1])
    assert np.isfinite(columns).all()
    assert np.abs(columns).max() <= 4


def test_the_blind_recipe_never_sees_sex_and_marriage() -> None:
    """Its columns do not change with either field; those of the default do."""
    train = credit.prepare(synthetic_credit()).train.inputs

    def columns(blind: bool, **changes: float) -> bytes:
        return np.asarray(credit.features(train, blind=blind)(row(**changes))).tobytes()

    for changes in ({"sex": 1}, {"marriage": 2}, {"sex": 1, "marriage": 0}):
        assert columns(True, **changes) == columns(True)
        assert columns(False, **changes) != columns(False)
    assert columns(True, age=60) != columns(True)
