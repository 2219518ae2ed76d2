"""The committed models, on the real data: as good as their cards say."""

from pathlib import Path

import pytest

from service.models.artifacts.artifact import read_artifact
from service.models.artifacts.folder import list_models
from service.tasks import TASKS
from training.cli import MODELS_DIR
from training.evaluation.metrics import Measurement, differences, measure_models
from training.recipes import TASK_TRAININGS

LEAST_ACCURACY = {"heart": 0.80, "credit": 0.81, "digits": 0.996, "fashion": 0.935}


@pytest.fixture(scope="module")
def measured(data_dir: Path | None) -> dict[str, Measurement]:
    return {model.card.name: model for model in measure_models(MODELS_DIR, data_dir)}


def test_every_task_has_a_committed_model() -> None:
    """`make serve` is ready without any training first."""
    assert set(TASKS) <= set(list_models(MODELS_DIR))


@pytest.mark.parametrize("name", TASKS)
def test_a_committed_model_is_as_good_as_its_card_says(
    measured: dict[str, Measurement], name: str
) -> None:
    """Metrics on the published test data equal the card's within the tolerance."""
    card, metrics = measured[name].card, measured[name].metrics
    assert card.data.published
    assert differences(card, metrics) == []
    assert metrics["accuracy"] >= LEAST_ACCURACY[name]


def test_a_card_with_a_higher_accuracy_differs(measured: dict[str, Measurement]) -> None:
    """One point of accuracy more than measured is a difference."""
    card, metrics = measured["heart"].card, measured["heart"].metrics
    flattering = {**card.metrics, "accuracy": card.metrics["accuracy"] + 0.01}
    (difference,) = differences(card.model_copy(update={"metrics": flattering}), metrics)
    assert "heart/1 accuracy: expected" in difference


@pytest.mark.parametrize("name", list_models(MODELS_DIR))
def test_a_committed_card_has_the_requested_epochs(name: str) -> None:
    """They are those of its recipe; networks for its confidence are fitted for as many."""
    card = read_artifact(MODELS_DIR, name).card
    recipe = TASK_TRAININGS[card.task].recipes[card.training.recipe]
    assert card.training.requested_epochs == recipe.epochs
    assert card.training.epochs == recipe.epochs or recipe.patience is not None


@pytest.mark.parametrize("name", TASKS)
def test_a_committed_model_is_the_default_recipe_and_small(name: str) -> None:
    """A committed model is the default recipe's, of at most 3 MB."""
    artifact = read_artifact(MODELS_DIR, name)
    assert artifact.card.training.recipe == TASK_TRAININGS[name].default
    assert artifact.model.stat().st_size <= 3_000_000
