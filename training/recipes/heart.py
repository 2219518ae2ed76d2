"""Heart disease: 29 inputs, 16 ReLU, 1 sigmoid, as in the lecture, on the clean Cleveland data.

The default averages ten such networks: fitted to 303 patients, the average varies less than one.

The lecture's 29 columns came from a copy with wrong labels and duplicated rows (see
docs/method/data.md). The
29 here are six numbers, and one column for each code of the other seven fields.
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
"""The largest probability with which augmentation removes an optional field of a patient."""
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
    """Split into 80 % train and 20 % test, stratified; a fifth of train validates."""
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
    """Split ten times into five folds: each patient is in ten test splits, once a repeat."""
    patients = np.arange(len(data.label))
    return [
        [
            _with_validation(data, f"fold {number} of repeat {repeat}", train, test)
            for number, (train, test) in enumerate(
                StratifiedKFold(5, shuffle=True, random_state=repeat).split(patients, data.label)
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
    """Build the encoder of 13 fields as 29 columns, adapted to float32[N, 13]."""
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES)
    encoder.adapt(rows)
    return encoder


def compensated(rows: NDArray[np.float32]) -> TabularEncoder:
    """Build the same encoder, with larger columns for a patient with fewer recorded fields.

    The power .35 keeps the calibration slope near 1 however many fields are missing.
    """
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES, compensation=0.35)
    encoder.adapt(rows)
    return encoder


def leave_out(
    rows: NDArray[np.float32], _: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return half of the rows as they are and the others with optional fields set to NaN.

    The share removed is uniform from 0 to LEFT_OUT. It fits the network to hospitals that do not
    measure everything.
    """
    optional = np.array([not feature.required for feature in TASK.features])
    share = rng.uniform(0, LEFT_OUT, (len(rows), 1)) * (rng.random((len(rows), 1)) < 0.5)
    return np.where((rng.random(rows.shape) < share) & optional, np.float32(np.nan), rows)


def mlp16(*, hidden: int = 16) -> keras.Model:
    """Build the lecture's network."""
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
            optimizer=partial(cosine, weight_decay=0.85),  # this weight decay calibrates
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
    "without symptoms, or for other clinics. Codes are those of the UCI data: a row in those of "
    "Kaggle's heart.csv (cp 0 to 3, thal 0 to 3) may be valid and mean another patient, and a "
    "single row cannot be told apart.",
)
