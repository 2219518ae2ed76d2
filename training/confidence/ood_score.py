"""The in-distribution score of pictures: a second output of the graph, and its threshold.

A small head on the network's features is trained to tell its training pictures from made-up ones:
outlier exposure, Hendrycks, Mazeika and Dietterich 2019, "Deep anomaly detection with outlier
exposure". The network's own weights and answers stay as they are.
"""

from dataclasses import dataclass

import keras
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from service.contract.uncertainty import OodThreshold
from training.artifacts.graph import ScoreHead, add_score, expose_features, features_by_numpy
from training.confidence.ood_negatives import draw_outliers, draw_transformed
from training.recipe import DataSplits, Recipe, Split, TaskTraining

MOST = 20_000
"""Training pictures that the head is trained on, beside as many variants and twice as many outliers
(as many where the recipe has no augmentation)."""
FEW = 400
"""The same for synthetic data, which only show that the pipeline works."""
UNITS = 64
EPOCHS = 10
BATCH = 128
FLAGGED = 0.01
"""The share of validation pictures that the threshold flags."""
SEED = 0
OTHER_SEED = 1


@dataclass(frozen=True)
class ScoredGraph:
    """A graph with the score as an output, the score's golden answers and its threshold."""

    graph: onnx.ModelProto
    golden: NDArray[np.float64]
    threshold: OodThreshold


def fit_ood_score(
    graph: onnx.ModelProto,
    inputs: NDArray[np.uint8],
    training: TaskTraining,
    recipe: Recipe,
    data: DataSplits,
) -> ScoredGraph:
    """Train a score for a graph of pictures without one, and choose its threshold.

    `inputs` are the golden inputs uint8[N, height, width], whose scores are computed by NumPy.
    """
    head = train_score_head(graph, training, recipe, data)
    return ScoredGraph(
        graph=add_score(graph, head),
        golden=head.score(features_by_numpy(graph, inputs)),
        threshold=choose_ood_threshold(graph, head, training, recipe, data),
    )


def train_score_head(
    graph: onnx.ModelProto, training: TaskTraining, recipe: Recipe, data: DataSplits
) -> ScoreHead:
    """Train a head for a graph without one, on training pictures against made-up outliers."""
    rng = np.random.default_rng(SEED)
    most = MOST if data.published else FEW
    rows = rng.permutation(len(data.train.labels))[:most]
    images, labels = data.train.inputs[rows], data.train.labels[rows]
    inliers = [images]
    if recipe.augment:
        inliers.append(recipe.augment(images, labels, rng))
    count = sum(map(len, inliers))
    outliers = outlier_exposure_data(count, Split(images, labels), training, recipe, rng)
    features = compute_features(graph, np.concatenate([*inliers, outliers]))
    return _train(features, (np.arange(len(features)) < count).astype(np.float32))


def outlier_exposure_data(
    count: int, split: Split, training: TaskTraining, recipe: Recipe, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Make outliers uint8[count, height, width], three in ten by transforms of the split.

    Half of the transformed ones are augmented as well; the other seven in ten are made up.
    """
    images, labels = split.inputs, split.labels
    transforms = training.invalidating_transforms
    transformed = draw_transformed(count * 3 // 10, images, labels, transforms, rng)
    if recipe.augment:
        half = len(transformed) // 2
        # Label -1, for which augmentation has no habit: a transformed picture is no digit.
        transformed[:half] = recipe.augment(transformed[:half], np.full(half, -1), rng)
    return np.concatenate([transformed, draw_outliers(count - len(transformed), images, rng)])


def compute_features(graph: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the features that a head takes, float32[N, F], by ONNX Runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(expose_features(graph).SerializeToString(), options)
    name, last = session.get_inputs()[0].name, session.get_outputs()[-1].name
    batches = (images[start : start + 500] for start in range(0, len(images), 500))
    return np.concatenate([session.run([last], {name: batch})[0] for batch in batches])


def _train(features: NDArray[np.float32], labels: NDArray[np.float32]) -> ScoreHead:
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
    network.fit((features - mean) / deviation, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    hidden, bias, last, shift = network.get_weights()
    # Standardising is folded into the first layer.
    hidden = hidden / deviation[:, None]
    return ScoreHead(hidden, bias - mean @ hidden, last[:, 0], np.float32(shift[0]))


def choose_ood_threshold(
    graph: onnx.ModelProto,
    head: ScoreHead,
    training: TaskTraining,
    recipe: Recipe,
    data: DataSplits,
) -> OodThreshold:
    """Choose the score below which a picture is flagged, and measure the shares that it flags."""
    rng = np.random.default_rng(OTHER_SEED)
    count = len(data.validation.labels)
    outliers = outlier_exposure_data(count, data.validation, training, recipe, rng)

    def score(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return head.score(compute_features(graph, images))

    threshold = float(np.quantile(score(data.validation.inputs), FLAGGED))
    kept = "the network learned from them, the score did not" if not recipe.validates else "unseen"
    return OodThreshold(
        threshold=threshold,
        chosen_on=f"the {FLAGGED:.0%} of {count:,} validation pictures ({kept}) that look least "
        "like the others",
        learned_from="pictures of the training part, against the same turned so that they show "
        "nothing of the kind, taken apart and joined, and against drawings, stains and noise made "
        "up at random (training/confidence/ood_negatives.py)",
        flagged={
            "test part": float((score(data.test.inputs) < threshold).mean()),
            "outlier-exposure pictures, other seed": float((score(outliers) < threshold).mean()),
        },
    )
