"""Heart disease: 29 inputs, 16 ReLU, 1 sigmoid, as in the lecture, on the clean Cleveland data.

The lecture's 29 columns came from a copy with wrong labels and duplicated rows; ours are declared:
six numbers, and one column a code for the other seven fields.
"""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.tasks.heart import TASK
from training.datasets import TabularData, load_heart
from training.preprocessing import TabularEncoder
from training.recipe import Course, Part, Prepared, Recipe
from training.synthetic import synthetic_heart

SPLIT_SEED = 0
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


def prepare(data: TabularData) -> Prepared:
    """80 % train, 20 % test, stratified; a fifth of train tells when to stop."""
    rows = data.features.to_numpy(np.float32)
    train, test = train_test_split(
        np.arange(len(rows)), test_size=0.2, stratify=data.label, random_state=SPLIT_SEED
    )
    train, validation = train_test_split(
        train, test_size=0.2, stratify=data.label[train], random_state=SPLIT_SEED
    )
    return Prepared(
        source=data.source,
        fingerprint=data.fingerprint,
        published=data.published,
        split="80 % train, 20 % test; a fifth of train for validation; stratified by label, "
        f"scikit-learn train_test_split, random_state {SPLIT_SEED}",
        train=Part(rows[train], data.label[train]),
        validation=Part(rows[validation], data.label[validation]),
        test=Part(rows[test], data.label[test]),
    )


def preprocessing(rows: NDArray[np.float32]) -> TabularEncoder:
    """13 fields to 29 columns."""
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES)
    encoder.adapt(rows)
    return encoder


def mlp16() -> keras.Model:
    """The lecture's network."""
    return keras.Sequential(
        [
            keras.Input((29,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


COURSE = Course(
    task=TASK,
    load=load_heart,
    synthetic=synthetic_heart,
    prepare=prepare,
    preprocessing=preprocessing,
    recipes={
        "mlp16": Recipe(
            network=mlp16,
            parameters=29 * 16 + 16 + 16 + 1,
            optimizer=lambda _: keras.optimizers.Adam(),
            epochs=300,
            batch_size=32,
            patience=15,
        ),
    },
    default="mlp16",
    intended_use="Teaching and research on the probability of coronary heart disease among "
    "patients referred for angiography. Not a medical device.",
    limits="303 patients of one clinic, 1981-1984, two thirds of them men; no claim for people "
    "without symptoms, or for other clinics.",
)
