from pathlib import Path

import numpy as np
import pytest

from service.models.artifacts.artifact import read_artifact
from service.tasks.heart import TASK
from training.artifacts.background import FEWEST, SIZE, compute_background
from training.data.synthetic import synthetic_heart
from training.recipes import TASK_TRAININGS

MODELS = Path(__file__).resolve().parents[3] / "models"


def test_background_rows_fit_the_contract_and_stand_for_every_row() -> None:
    """Codes are the contract's, numbers lie within bounds, and weights count every training row."""
    rows = synthetic_heart().features.to_numpy(np.float32)
    background = compute_background(rows, TASK.features)
    assert background.rows.shape == (SIZE, len(TASK.features))
    assert background.weights.sum() == len(rows)
    assert background.weights.min() >= FEWEST
    for values, feature in zip(background.rows.T, TASK.features, strict=True):
        if feature.codes:
            assert set(values.tolist()) <= feature.codes.keys()
        else:
            assert feature.low is not None
            assert feature.high is not None
            assert ((values >= feature.low) & (values <= feature.high)).all()


def test_background_is_the_same_every_time() -> None:
    """Two computations from the same data give the same rows and weights."""
    rows = synthetic_heart(200).features.to_numpy(np.float32)
    first, second = compute_background(rows, TASK.features), compute_background(rows, TASK.features)
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.weights, second.weights)


def test_few_rows_make_fewer_clusters_never_smaller_ones() -> None:
    """37 rows make seven background rows, each the median of at least five."""
    rows = synthetic_heart().features.to_numpy(np.float32)[:37]
    background = compute_background(rows, TASK.features)
    assert len(background.weights) == 7
    assert background.weights.min() >= FEWEST


def test_a_field_without_any_record_stays_missing() -> None:
    """A column without any record is NaN in every background row."""
    rows = synthetic_heart().features.assign(ca=np.nan).to_numpy(np.float32)
    assert np.isnan(compute_background(rows, TASK.features).rows[:, 11]).all()


@pytest.mark.parametrize("name", ["heart", "heart-mlp16", "credit", "credit-logistic"])
def test_committed_backgrounds_hold_nobodys_record(name: str, data_dir: Path | None) -> None:
    """No background row is a row of the data, and the weights count the training split."""
    artifact = read_artifact(MODELS, name)
    background = artifact.background()
    assert background is not None
    data = TASK_TRAININGS[artifact.card.task].load(data_dir).features.to_numpy(np.float32)  # type: ignore[union-attr]
    for row in background.rows:
        assert not np.isclose(data, row, equal_nan=True).all(axis=1).any()
    assert background.weights.sum() == artifact.card.data.rows["train"]
