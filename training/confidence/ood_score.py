"""A score inside a graph of pictures: does this look like what the network learned from?

A small head on what the network sees, taught to tell its training pictures from made-up strangers:
outlier exposure, Hendrycks, Mazeika and Dietterich 2019, "Deep anomaly detection with outlier
exposure". The network's own weights and answers stay as they are.
"""

import keras
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from service.contract.uncertainty import Familiar
from training.artifacts.graph import ScoreHead, expose_features
from training.confidence.ood_negatives import draw_outliers, draw_transformed
from training.recipe import DataSplits, Recipe, Split, TaskTraining

MOST = 20_000
"""Training pictures it learns from, as many again in new variants, and so many strangers."""
FEW = 400
"""The same of made-up data, which only show that all works."""
UNITS = 64
EPOCHS = 10
BATCH = 128
FLAGGED = 0.01
"""The share of pictures like those of training that may be called strange."""
SEED = 0
OTHER_SEED = 1


def train_score_head(
    proto: onnx.ModelProto, training: TaskTraining, recipe: Recipe, data: DataSplits
) -> ScoreHead:
    """A head for a graph without one, taught on the training part and made-up strangers."""
    rng = np.random.default_rng(SEED)
    most = MOST if data.published else FEW
    rows = rng.permutation(len(data.train.labels))[:most]
    images, labels = data.train.inputs[rows], data.train.labels[rows]
    known = [images]
    if recipe.augment:
        known.append(recipe.augment(images, labels, rng))
    strange = outlier_pictures(sum(map(len, known)), Split(images, labels), training, recipe, rng)
    features = compute_features(proto, np.concatenate([*known, strange]))
    answers = np.arange(len(features)) < sum(map(len, known))
    return _taught(features, answers.astype(np.float32))


def outlier_pictures(
    count: int, part: Split, training: TaskTraining, recipe: Recipe, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Strangers: three in ten are pictures turned, half of those in a variant, the rest made up."""
    images, labels = part.inputs, part.labels
    aside = draw_transformed(count * 3 // 10, images, labels, training.invalidating_transforms, rng)
    if recipe.augment:
        half = len(aside) // 2
        # A label that no habit of augmentation belongs to: what is turned is no digit.
        aside[:half] = recipe.augment(aside[:half], np.full(half, -1), rng)
    return np.concatenate([aside, draw_outliers(count - len(aside), images, rng)])


def compute_features(proto: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a head looks at, float32[N, F]."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(expose_features(proto).SerializeToString(), options)
    name, last = session.get_inputs()[0].name, session.get_outputs()[-1].name
    parts = (images[start : start + 500] for start in range(0, len(images), 500))
    return np.concatenate([session.run([last], {name: part})[0] for part in parts])


def _taught(features: NDArray[np.float32], answers: NDArray[np.float32]) -> ScoreHead:
    keras.utils.set_random_seed(SEED)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    network = keras.Sequential(
        [
            keras.Input((features.shape[1],)),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    steps = EPOCHS * -(-len(features) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss="binary_crossentropy")
    network.fit((features - mean) / deviation, answers, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    hidden, bias, last, shift = network.get_weights()
    # The standardising is a part of the first layer.
    hidden = hidden / deviation[:, None]
    return ScoreHead(hidden, bias - mean @ hidden, last[:, 0], np.float32(shift[0]))


def choose_ood_threshold(
    proto: onnx.ModelProto,
    head: ScoreHead,
    training: TaskTraining,
    recipe: Recipe,
    data: DataSplits,
) -> Familiar:
    """The cutoff, and what it flags."""
    rng = np.random.default_rng(OTHER_SEED)
    strange = outlier_pictures(len(data.validation.labels), data.validation, training, recipe, rng)

    def score(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return head.familiarity(compute_features(proto, images))

    cutoff = float(np.quantile(score(data.validation.inputs), FLAGGED))
    kept = "the network learned from them, the score did not" if not recipe.validates else "unseen"
    return Familiar(
        cutoff=cutoff,
        chosen_on=f"the {FLAGGED:.0%} of {len(data.validation.labels):,} validation pictures "
        f"({kept}) that look least like the others",
        learned_from="pictures of the training part, against the same turned so that they show "
        "nothing of the kind, taken apart and joined, and against drawings, stains and noise made "
        "up at random (training/confidence/ood_negatives.py)",
        flagged={
            "test part": float((score(data.test.inputs) < cutoff).mean()),
            "outlier-exposure pictures, other seed": float((score(strange) < cutoff).mean()),
        },
    )
