"""Credit default: the lecture's logistic regression, and ensembles on engineered features.

The lecture's 24 inputs are 23 attributes, with sex as two columns. `mlp-ensemble` takes the
features of `training/layers/credit_features.py`; `mlp-ensemble-blind` the same without sex and
marriage.
"""

from functools import partial

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.tasks.credit import TASK
from training.data.datasets import TabularData, load_credit
from training.data.synthetic import synthetic_credit
from training.fitting.optimizers import adam, cosine
from training.layers.credit_features import CreditFeatures
from training.layers.encoders import TabularEncoder
from training.recipe import DataSplits, Protocol, Recipe, TaskTraining

SPLIT_SEED = 0
CODES = {"sex": [1, 2]}
NUMBERS = [feature.name for feature in TASK.features if feature.name not in CODES]


def prepare(data: TabularData) -> DataSplits:
    """Split into 60 % train, 20 % validation and 20 % test, stratified."""
    return _split(data, SPLIT_SEED)


def repeats(data: TabularData) -> list[list[DataSplits]]:
    """Split five times; the first split is the one that models are exported from."""
    return [[_split(data, seed)] for seed in range(5)]


def _split(data: TabularData, seed: int) -> DataSplits:
    train, rest = train_test_split(
        np.arange(len(data.label)), test_size=0.4, stratify=data.label, random_state=seed
    )
    validation, test = train_test_split(
        rest, test_size=0.5, stratify=data.label[rest], random_state=seed
    )
    words = (
        "60 % train, 20 % validation, 20 % test; stratified by label, scikit-learn "
        f"train_test_split, random_state {seed}"
    )
    return DataSplits.from_rows(
        data, words, {"train": train, "validation": validation, "test": test}
    )


def preprocessing(rows: NDArray[np.float32]) -> TabularEncoder:
    """Build the encoder of 23 fields as 24 columns, adapted to float32[N, 23]."""
    encoder = TabularEncoder(TASK.features, NUMBERS, CODES)
    encoder.adapt(rows)
    return encoder


def logistic() -> keras.Model:
    """Build the lecture's network: logistic regression."""
    return keras.Sequential([keras.Input((24,)), layers.Dense(1, activation="sigmoid")])


def features(rows: NDArray[np.float32], *, blind: bool = False) -> CreditFeatures:
    """Build the encoder of 23 fields as 139 columns, or 136 if blind to sex and marriage."""
    layer = CreditFeatures(TASK.features, blind=blind)
    layer.adapt(rows)
    return layer


def mlp(width: int, *, hidden: int = 128, dropout: float = 0.5) -> keras.Model:
    """Build two hidden layers, 128 and 64, each with batch normalisation and dropout."""

    def dense(units: int) -> list[keras.Layer]:
        # No bias: the normalisation that follows has one.
        return [
            layers.Dense(units, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(dropout),
        ]

    return keras.Sequential(
        [
            keras.Input((width,)),
            *dense(hidden),
            *dense(hidden // 2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def ensemble(width: int, *, blind: bool) -> Recipe:
    """Declare five networks, averaged and calibrated: dropout biases them by about one point."""
    return Recipe(
        network=partial(mlp, width),
        members=5,
        preprocessing=partial(features, blind=blind),
        parameters=width * 128 + 4 * 128 + 128 * 64 + 4 * 64 + 64 + 1,
        optimizer=partial(cosine, weight_decay=0.1),
        epochs=20,
        batch_size=256,
        calibrates=True,
    )


TRAINING = TaskTraining(
    task=TASK,
    load=load_credit,
    synthetic=synthetic_credit,
    prepare=prepare,
    preprocessing=preprocessing,
    recipes={
        "logistic": Recipe(
            network=logistic,
            parameters=24 + 1,
            optimizer=adam,
            epochs=20,
            batch_size=64,
        ),
        "mlp-ensemble": ensemble(139, blind=False),
        "mlp-ensemble-blind": ensemble(136, blind=True),
    },
    default="mlp-ensemble",
    protocol=Protocol(
        "60 % train, 20 % validation, 20 % test, stratified, five times (train_test_split twice, "
        "random_state 0 to 4). Recipes were chosen on validation parts.",
        repeats,
    ),
    intended_use="Teaching and research on the probability that a card client defaults next month. "
    "Not a credit decision by itself.",
    limits="30,000 clients of one bank in Taiwan, April to September 2005, in a credit crisis; it "
    "sees sex, marriage and age, which many lenders must not use.",
)
