"""Credit default: 24 inputs, 1 sigmoid, as in the lecture: 23 attributes, sex as two columns."""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.tasks.credit import TASK
from training.datasets import TabularData, load_credit
from training.preprocessing import TabularEncoder
from training.recipe import Course, Part, Prepared, Recipe
from training.synthetic import synthetic_credit

SPLIT_SEED = 0
CODES = {"sex": [1, 2]}
NUMBERS = [feature.name for feature in TASK.features if feature.name not in CODES]


def prepare(data: TabularData) -> Prepared:
    """60 % train, 20 % validation, 20 % test, stratified."""
    rows = data.features.to_numpy(np.float32)
    train, rest = train_test_split(
        np.arange(len(rows)), test_size=0.4, stratify=data.label, random_state=SPLIT_SEED
    )
    validation, test = train_test_split(
        rest, test_size=0.5, stratify=data.label[rest], random_state=SPLIT_SEED
    )
    return Prepared(
        source=data.source,
        fingerprint=data.fingerprint,
        published=data.published,
        split="60 % train, 20 % validation, 20 % test; stratified by label, scikit-learn "
        f"train_test_split, random_state {SPLIT_SEED}",
        train=Part(rows[train], data.label[train]),
        validation=Part(rows[validation], data.label[validation]),
        test=Part(rows[test], data.label[test]),
    )


def preprocessing(rows: NDArray[np.float32]) -> TabularEncoder:
    """23 fields to 24 columns."""
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES)
    encoder.adapt(rows)
    return encoder


def logistic() -> keras.Model:
    """The lecture's network: logistic regression."""
    return keras.Sequential([keras.Input((24,)), layers.Dense(1, activation="sigmoid")])


COURSE = Course(
    task=TASK,
    load=load_credit,
    synthetic=synthetic_credit,
    prepare=prepare,
    preprocessing=preprocessing,
    recipes={
        "logistic": Recipe(
            network=logistic,
            parameters=24 + 1,
            optimizer=lambda _: keras.optimizers.SGD(),
            epochs=20,
            batch_size=64,
        ),
    },
    default="logistic",
    intended_use="Teaching and research on the probability that a card client defaults next month. "
    "Not a credit decision by itself.",
    limits="30,000 clients of one bank in Taiwan, April to September 2005, in a credit crisis; it "
    "sees sex, marriage and age, which many lenders must not use.",
)
