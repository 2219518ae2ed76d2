"""Heart disease: 29 inputs, 16 ReLU, 1 sigmoid, as in the lecture, on the clean Cleveland data.

303 patients are few: ten such networks averaged are steadier than any one of them, and the default.

The lecture's 29 columns came from a copy with wrong labels and duplicated rows; ours are declared:
six numbers, and one column a code for the other seven fields.
"""

from functools import partial

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, train_test_split

from service.tasks.heart import TASK
from training.data.datasets import TabularData, load_heart
from training.data.synthetic import synthetic_heart
from training.fitting.optimizers import adam, cosine
from training.layers.encoders import TabularEncoder
from training.recipe import DataSplits, Protocol, Recipe, TaskTraining

SPLIT_SEED = 0
LEFT_OUT = 0.7
"""The largest chance with which training leaves out a patient's optional fields."""
NUMBERS = ["age", "trestbps", "chol", "thalach", "oldpeak", "slope"]
CODES: dict[str, list[int | None]] = {
    "sex": [0, 1],
    "cp": [None, 1, 2, 3, 4],
    "fbs": [0, 1],
    "restecg": [0, 1, 2],
    "exang": [0, 1],
    "ca": [0, 1, 2, 3, None],
    "thal": [3, 6, 7, None],
}


def prepare(data: TabularData) -> DataSplits:
    """80 % train, 20 % test, stratified; a fifth of train tells when to stop."""
    train, test = train_test_split(
        np.arange(len(data.label)), test_size=0.2, stratify=data.label, random_state=SPLIT_SEED
    )
    words = (
        "80 % train, 20 % test; a fifth of train tells networks that stop early when to, others "
        "learn from it too; stratified by label, scikit-learn train_test_split, random_state "
        f"{SPLIT_SEED}"
    )
    return _with_validation(data, words, train, test)


def repeats(data: TabularData) -> list[list[DataSplits]]:
    """Ten times five folds: every patient is tested ten times, by networks that never saw them."""
    everybody = np.arange(len(data.label))
    return [
        [
            _with_validation(data, f"fold {number} of repeat {repeat}", train, test)
            for number, (train, test) in enumerate(
                StratifiedKFold(5, shuffle=True, random_state=repeat).split(everybody, data.label)
            )
        ]
        for repeat in range(10)
    ]


def _with_validation(
    data: TabularData, words: str, train: NDArray[np.int64], test: NDArray[np.int64]
) -> DataSplits:
    train, validation = train_test_split(
        train, test_size=0.2, stratify=data.label[train], random_state=SPLIT_SEED
    )
    return DataSplits.from_rows(
        data, words, {"train": train, "validation": validation, "test": test}
    )


def preprocessing(rows: NDArray[np.float32]) -> TabularEncoder:
    """13 fields to 29 columns."""
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES)
    encoder.adapt(rows)
    return encoder


def compensated(rows: NDArray[np.float32]) -> TabularEncoder:
    """The same 29, larger for a patient of whom less is recorded.

    The power keeps the calibration slope near 1 however many fields are missing.
    """
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES, compensation=0.35)
    encoder.adapt(rows)
    return encoder


def leave_out(
    rows: NDArray[np.float32], _: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Half of the patients as they are, the others with less recorded, in any degree.

    A network that has seen this answers sensibly for hospitals that do not measure everything.
    """
    optional = np.array([not feature.required for feature in TASK.features])
    share = rng.uniform(0, LEFT_OUT, (len(rows), 1)) * (rng.random((len(rows), 1)) < 0.5)
    return np.where((rng.random(rows.shape) < share) & optional, np.float32(np.nan), rows)


def mlp16(*, hidden: int = 16) -> keras.Model:
    """The lecture's network."""
    return keras.Sequential(
        [
            keras.Input((29,)),
            layers.Dense(hidden, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


TRAINING = TaskTraining(
    task=TASK,
    load=load_heart,
    synthetic=synthetic_heart,
    prepare=prepare,
    preprocessing=preprocessing,
    recipes={
        "mlp16": Recipe(
            network=mlp16,
            parameters=29 * 16 + 16 + 16 + 1,
            optimizer=adam,
            epochs=300,
            batch_size=32,
            patience=15,
        ),
        "mlp16-ensemble": Recipe(
            network=mlp16,
            members=10,
            parameters=29 * 16 + 16 + 16 + 1,
            optimizer=partial(cosine, weight_decay=0.85),  # which is what calibrates
            epochs=100,
            batch_size=32,
            preprocessing=compensated,
            augment=leave_out,
            validates=False,
        ),
    },
    default="mlp16-ensemble",
    folds=5,
    protocol=Protocol(
        "5 folds, stratified, 10 times (StratifiedKFold, random_state 0 to 9); 20 % of each "
        "training part for validation, which only networks that stop early keep apart. AUC is the "
        "mean of a repeat's folds; all else is over its 303 patients, each predicted once.",
        repeats,
    ),
    intended_use="Teaching and research on the probability of coronary heart disease among "
    "patients referred for angiography. Not a medical device.",
    limits="303 patients of one clinic, 1981-1984, two thirds of them men; no claim for people "
    "without symptoms, or for other clinics.",
)
