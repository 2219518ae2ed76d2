"""Ensembles: stacked while they are fitted, then averaged, and for heart with inputs removed."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from service.tasks.heart import TASK
from training.data.synthetic import synthetic_heart
from training.export.conversion import fuse_ensemble
from training.fitting.fit import Batches, Encoded, fit, per_member_batches
from training.recipe import Augment, Recipe, Split
from training.recipes import TASK_TRAININGS, heart

ENSEMBLE = TASK_TRAININGS["heart"].recipes["mlp16-ensemble"]


def fitted(recipe: Recipe, **options: Any) -> Any:
    training = TASK_TRAININGS["heart"]
    return fit(training, recipe, training.prepare(training.synthetic()), quiet=True, **options)


def test_an_ensembles_answer_is_the_mean_of_its_members() -> None:
    """Ten different networks of 497 parameters are averaged after one preprocessing."""
    found = fitted(ENSEMBLE, epochs=2)
    assert found.parameters == 10 * 497
    preprocessing, ensemble = found.model.layers[-2:]
    rows = synthetic_heart().features.to_numpy(np.float32)[:20]
    members = [layer for layer in ensemble.layers if layer.weights]
    answers = np.stack([np.asarray(member(preprocessing(rows))) for member in members])
    assert len(answers) == 10
    assert len(np.unique(answers[:, 0])) == 10
    np.testing.assert_allclose(answers.mean(axis=0), np.asarray(found.model(rows)), rtol=1e-5)


def test_ten_small_networks_are_fused_into_one() -> None:
    """The fused network has two layers instead of twenty, and the same answers."""
    found = fitted(ENSEMBLE, epochs=2)
    one = fuse_ensemble(found.model)
    assert one.count_params() == 29 * 160 + 160 + 160 * 10 + 10
    assert [layer.units for layer in one.get_layer("ensemble").layers[1:3]] == [160, 10]
    rows = synthetic_heart().features.to_numpy(np.float32)
    # Sums in another order, each with ten times as many terms, all but its own exact zeros.
    np.testing.assert_allclose(np.asarray(one(rows)), np.asarray(found.model(rows)), atol=1e-6)


def test_networks_of_more_layers_are_not_fused() -> None:
    """Products of block-diagonal hidden layers would be five times as large."""
    training = TASK_TRAININGS["credit"]
    data = training.prepare(training.synthetic())
    model = fit(training, training.recipes["mlp-ensemble"], data, epochs=1, quiet=True).model
    assert fuse_ensemble(model).count_params() == model.count_params()


def test_members_are_fitted_as_if_each_were_alone() -> None:
    """The first of three members takes the same step as alone."""

    def recipe(members: int) -> Recipe:
        # The loss is the mean over members; one batch, so that the order of rows is no matter.
        return replace(
            ENSEMBLE,
            augment=None,
            members=members,
            batch_size=1_000,
            optimizer=lambda _: keras.optimizers.SGD(float(members)),
        )

    alone = fitted(recipe(1), epochs=1).model.layers[-1].get_weights()
    together = fitted(recipe(3), epochs=1).model.layers[-1]
    first = next(layer for layer in together.layers if layer.weights).get_weights()
    for one, other in zip(alone, first, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)  # sums in another order


def test_recipes_of_several_networks_have_optimizers_that_a_loss_of_any_scale_suits() -> None:
    """Ensembles use Adam or AdamW, whose steps do not depend on the scale of the loss."""
    several = [r for c in TASK_TRAININGS.values() for r in c.recipes.values() if r.members > 1]
    assert several
    assert all(isinstance(recipe.optimizer(100), keras.optimizers.Adam) for recipe in several)


@pytest.mark.parametrize("augment", [None, ENSEMBLE.augment])
def test_each_member_has_an_order_of_its_own(augment: Augment | None) -> None:
    """Every member sees every row once an epoch, with its label, and no two in the same order."""
    recipe = replace(ENSEMBLE, members=3, batch_size=7, augment=augment)
    rows = np.arange(20 * 13, dtype=np.float32).reshape(20, 13)

    def encode(part: Split) -> Encoded:
        return part.inputs, part.labels

    batches = Batches(Split(rows, np.arange(20)), recipe, encode, seed=0, begin=0)
    inputs, labels = (
        np.concatenate(x) for x in zip(*map(batches.__getitem__, range(3)), strict=True)
    )
    assert inputs.shape == (20, 3, 13)
    assert labels.shape == (20, 3, 1)
    orders = labels[..., 0].T
    assert (np.sort(orders) == np.arange(20)).all()
    assert len({tuple(order) for order in orders}) == 3
    known = ~np.isnan(inputs)
    assert (inputs[known] == rows[labels[..., 0]][known]).all()
    assert known.all() == (augment is None)


def test_every_member_answers_every_row_of_the_validation_split() -> None:
    """Validation rows are repeated for each member, not distributed."""
    encoded = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(4)
    inputs, labels = per_member_batches(encoded, 3, every_member=True)
    assert inputs.shape == (4, 3, 2)
    assert (inputs == inputs[:, :1]).all()
    assert labels[..., 0].tolist() == [[0] * 3, [1] * 3, [2] * 3, [3] * 3]


def test_leaving_out_spares_required_fields_and_half_of_the_patients() -> None:
    """Age and sex stay, about half of the rows stay complete, and nothing else changes."""
    rows = synthetic_heart(rows=4_000).features.to_numpy(np.float32)
    rows = rows[~np.isnan(rows).any(axis=1)]
    rng = np.random.default_rng(0)
    poorer = heart.leave_out(rows, np.zeros(len(rows), np.int64), rng)
    gone = np.isnan(poorer)
    optional = np.array([not feature.required for feature in TASK.features])
    assert not gone[:, ~optional].any()
    assert gone[:, optional].any(axis=0).all()
    assert (poorer[~gone] == rows[~gone]).all()
    assert 0.45 < (~gone.any(axis=1)).mean() < 0.60
    assert gone[:, optional].mean() == pytest.approx(heart.LEFT_OUT / 4, abs=0.02)


def test_a_recipe_without_early_stopping_may_be_fitted_to_the_validation_split() -> None:
    """No validation loss is reported then."""
    assert "val_loss" not in fitted(ENSEMBLE, epochs=1).history
    assert "val_loss" in fitted(TASK_TRAININGS["heart"].recipes["mlp16"], epochs=1).history
