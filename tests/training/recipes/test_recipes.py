"""The recipes: parameter counts, inputs, learning and augmentation."""

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from service.contract.tabular import TabularTask
from training.data.synthetic import synthetic_digits, synthetic_heart
from training.fitting.augmentation import augment
from training.fitting.fit import TrainingDiverged, fit
from training.layers.encoders import TabularEncoder
from training.recipe import Recipe
from training.recipes import TASK_TRAININGS, fashion, heart

# The lectures' own figures, written here a second time so that a recipe cannot drift with its own.
PARAMETERS = {
    ("heart", "mlp16"): 497,
    ("credit", "logistic"): 25,
    ("digits", "softmax"): 7_850,
    ("digits", "dense32"): 25_450,
    ("digits", "deep"): 88_285,
    ("digits", "dropout"): 1_863_690,
    ("digits", "batchnorm"): 1_871_882,
}


@pytest.mark.parametrize(("task", "recipe"), PARAMETERS)
def test_the_lectures_networks_count_the_lectures_parameters(task: str, recipe: str) -> None:
    """Weights, biases and moving statistics are as many as in the lectures."""
    found = TASK_TRAININGS[task].recipes[recipe]
    assert found.network().count_params() == found.parameters == PARAMETERS[task, recipe]


def test_garments_networks_count_what_they_declare_and_are_small() -> None:
    """The served network takes less than 2 MB of float32."""
    for recipe in fashion.TRAINING.recipes.values():
        assert recipe.network().count_params() == recipe.parameters
    assert 4 * fashion.TRAINING.recipes["cnn"].parameters < 2_000_000


def test_batchnorm_has_4096_moving_statistics() -> None:
    """4,096 of its 1,871,882 parameters are not trained."""
    network = TASK_TRAININGS["digits"].recipes["batchnorm"].network()
    assert sum(int(np.prod(w.shape)) for w in network.non_trainable_weights) == 4_096


@pytest.mark.parametrize("task", TASK_TRAININGS)
def test_the_default_recipe_is_declared_and_exported_under_the_tasks_name(task: str) -> None:
    """The default is one of the recipes, and its model has the task's name."""
    training = TASK_TRAININGS[task]
    assert training.model_name(training.default) == task
    assert training.default in training.recipes


def test_a_wrong_parameter_count_stops_training() -> None:
    """A recipe that declares another number than its network has is refused before fitting."""
    training = TASK_TRAININGS["heart"]
    wrong = Recipe(heart.mlp16, 498, training.recipes["mlp16"].optimizer, epochs=1, batch_size=8)
    with pytest.raises(ValueError, match="497 parameters, but 498 are declared"):
        fit(training, wrong, training.prepare(training.synthetic()))


def test_a_fit_that_diverges_stops_with_advice() -> None:
    """A NaN loss raises TrainingDiverged, and the message says what to try."""
    training = TASK_TRAININGS["heart"]
    wild = Recipe(heart.mlp16, 497, lambda _: keras.optimizers.SGD(1e38), epochs=20, batch_size=32)
    with pytest.raises(TrainingDiverged, match=r"in epoch \d+: lower the learning rate"):
        fit(training, wild, training.prepare(training.synthetic()))


def encoder() -> TabularEncoder:
    return heart.preprocessing(heart.prepare(synthetic_heart()).train.inputs)


def test_hearts_29_inputs_are_six_numbers_and_seven_coded_fields() -> None:
    """Each coded field sets exactly one column, or none where it may be missing."""
    rows = np.array([[57, 1, 4, 140, 241, 0, 2, 123, 1, 0.2, 2, 3, 7]], np.float32)
    columns = np.asarray(encoder()(rows))[0]
    assert len(columns) == 29
    coded = columns[6:].tolist()
    sex, cp, fbs, restecg = [0, 1], [0, 0, 0, 0, 1], [1, 0], [0, 0, 1]
    exang, ca, thal = [0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0]
    assert coded == [*sex, *cp, *fbs, *restecg, *exang, *ca, *thal]


def test_missing_numbers_take_the_training_mean_and_missing_codes_their_column() -> None:
    """A missing number is 0 once standardised; cp, ca and thal have a column for missing."""
    columns = np.asarray(encoder()(np.full((1, 13), np.nan, np.float32)))[0]
    assert columns[:6].tolist() == [0] * 6
    lit = np.flatnonzero(columns).tolist()
    assert lit == [6 + 2, 6 + 2 + 5 + 2 + 3 + 2 + 4, 28]


def test_a_row_with_missing_fields_is_scaled_up_and_a_complete_one_is_not() -> None:
    """The factor is (fields / recorded) ** .35, here of 13 / 11."""
    train = heart.prepare(synthetic_heart()).train.inputs
    plain, compensated = heart.preprocessing(train), heart.compensated(train)
    row = np.array([[57, 1, 4, 140, 241, 0, 2, 123, 1, 0.2, 2, 3, 7]], np.float32)
    np.testing.assert_array_equal(compensated(row), plain(row))
    row[0, [4, 11]] = np.nan
    np.testing.assert_allclose(compensated(row), plain(row) * (13 / 11) ** 0.35, rtol=1e-6)


def test_numbers_are_standardised_on_the_training_split() -> None:
    """The mean is 0 and the deviation 1 over the training rows, without missing values."""
    train = heart.prepare(synthetic_heart()).train.inputs
    columns = np.asarray(heart.preprocessing(train)(train))[:, :6]
    present = ~np.isnan(train[:, [0, 3, 4, 7, 9, 10]])
    for column, here in zip(columns.T, present.T, strict=True):
        assert column[here].mean() == pytest.approx(0, abs=1e-4)
        assert column[here].std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("task", TASK_TRAININGS)
def test_splits_do_not_overlap_and_leave_nothing_out(task: str) -> None:
    """Every row is in exactly one split."""
    training = TASK_TRAININGS[task]
    data = training.synthetic()
    parts = training.prepare(data)
    rows = [row.tobytes() for part in (parts.train, parts.validation, parts.test)
            for row in part.inputs]  # fmt: skip
    if isinstance(training.task, TabularTask):
        everything = [row.tobytes() for row in data.features.to_numpy(np.float32)]  # type: ignore[union-attr]
    else:
        everything = [p.tobytes() for p in (*data.train_images, *data.test_images)]  # type: ignore[union-attr]
    assert sorted(rows) == sorted(everything)


def test_a_fitted_network_has_learned() -> None:
    """The default network gets an AUC above .7 on synthetic patients with a planted signal."""
    training = TASK_TRAININGS["heart"]
    data = training.prepare(training.synthetic())
    fitted = fit(training, training.recipes["mlp16"], data, epochs=40)
    probability = np.asarray(fitted.model(data.test.inputs)).reshape(-1)
    assert roc_auc_score(data.test.labels, probability) > 0.7
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]


def test_the_same_seed_gives_the_same_weights() -> None:
    """The same seed gives the same weights on one machine, and another seed others."""
    training = TASK_TRAININGS["heart"]
    data = training.prepare(training.synthetic())

    def weights(seed: int) -> bytes:
        fitted = fit(training, training.recipes["mlp16"], data, seed=seed, epochs=2)
        return b"".join(w.numpy().tobytes() for w in fitted.model.weights)

    assert weights(1) == weights(1) != weights(2)


def test_augmented_digits_stay_digits() -> None:
    """Variants keep shape and type, none is blank, and the seed decides them."""
    data = synthetic_digits()
    images, labels = data.train_images[:64], data.train_labels[:64]
    once = augment(images, labels, np.random.default_rng(0))
    assert once.shape == images.shape
    assert once.dtype == np.uint8
    assert (once.reshape(64, -1).max(axis=1) > 100).all()
    assert (once != augment(images, labels, np.random.default_rng(1))).any()
    assert (once == augment(images, labels, np.random.default_rng(0))).all()


def test_augmented_garments_stay_garments() -> None:
    """Variants keep shape and type and most of their brightness, and the seed decides them."""
    data = fashion.synthetic()
    images, labels = data.train_images[:64], data.train_labels[:64]
    once = fashion.augment(images, labels, np.random.default_rng(0))
    assert once.shape == images.shape
    assert once.dtype == np.uint8
    brightness = once.mean(axis=(1, 2)) / images.mean(axis=(1, 2))
    assert (brightness > 0.7).all()
    assert (once != fashion.augment(images, labels, np.random.default_rng(1))).any()
    assert (once == fashion.augment(images, labels, np.random.default_rng(0))).all()


def test_garments_are_mirrored_and_shifted_by_whole_pixels_but_not_changed_in_place() -> None:
    """Half are mirrored, greys are not resampled, and the data stay as they are."""
    wedge = np.tile(np.arange(0, 224, 8, dtype=np.uint8), (28, 1))  # brighter to the right
    pictures = np.stack([wedge] * 1_000)
    variants = fashion.augment(pictures, np.zeros(1_000, np.int64), np.random.default_rng(0))
    mirrored = variants[:, :, :14].mean(axis=(1, 2)) > variants[:, :, 14:].mean(axis=(1, 2))
    assert mirrored.mean() == pytest.approx(0.5, abs=0.06)  # four standard errors
    inside = variants[:, 1:-1, 1:-1]  # a shift leaves nothing on the border
    assert set(np.unique(inside)) <= set(wedge[0].tolist())  # nothing was resampled
    shifts = {tuple(picture[13].tolist()) for picture in variants[~mirrored]}
    assert len(shifts) == 3  # to the left, to the right, not at all
    assert (pictures == wedge).all()
