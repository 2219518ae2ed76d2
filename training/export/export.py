"""Keras to models/<name>/<version>/: one ONNX file, its card and its proof.

The only caller of tf2onnx, and the only code of training that needs TensorFlow itself.
"""

import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime as ort
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from scipy.linalg import block_diag

from service.contract.task import ImageTask, TabularTask, Task
from service.contract.uncertainty import FAMILIARITY
from service.models.artifacts.artifact import BACKGROUND, CARD, GOLDEN, MODEL, SIGNATURE, sha256
from service.models.artifacts.card import Card, DataFacts, GoldenFacts, TrainingFacts
from service.models.artifacts.folder import versions
from service.models.runtime.session import Predictor
from training.artifacts.background import compute_background, write_background
from training.artifacts.golden import TOLERANCE, TOLERANCE_REASON, golden_inputs, write_golden
from training.artifacts.graph import add_score, features_by_numpy, write_graph
from training.confidence.conformal import compute_confidence
from training.confidence.ood_score import choose_ood_threshold, train_score_head
from training.evaluation.curves import compute_curves
from training.evaluation.metrics import compute_metrics, latency_us, predict_probabilities
from training.fitting.fit import ENSEMBLE, Fitted
from training.recipe import DataSplits, TaskTraining

OPSET = 17
THRESHOLD = 0.5
LIBRARIES = {module.__name__: module.__version__ for module in (tf, keras, tf2onnx, onnx, ort, np)}


def export(
    training: TaskTraining, recipe: str, fitted: Fitted, data: DataSplits, models_dir: Path
) -> Path:
    """Write a fitted model as the next version of its name; whole or not at all.

    Raises ArtifactError, leaving nothing behind, unless ONNX Runtime repeats Keras' golden answers.
    """
    name = training.model_name(recipe)
    parent = models_dir / name
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=parent))
    try:
        proto = _graph_of(fuse_ensemble(fitted.model), training.task)
        golden = golden_inputs(training.task, training.synthetic())
        answers, familiar = _keras_answers(fitted.model, training.task, golden), None
        if isinstance(training.task, ImageTask):
            head = train_score_head(proto, training, training.recipes[recipe], data)
            familiar = choose_ood_threshold(proto, head, training, training.recipes[recipe], data)
            answers[FAMILIARITY] = head.familiarity(features_by_numpy(proto, golden))
            proto = add_score(proto, head)
        write_graph(proto, folder)
        write_golden(training.task, golden, answers, folder)
        files = [MODEL, GOLDEN, SIGNATURE]
        if isinstance(training.task, TabularTask):
            write_background(compute_background(data.train.inputs, training.task.features), folder)
            files.append(BACKGROUND)
        predictor = Predictor(folder / MODEL, "cpu")
        answered = predict_probabilities(predictor, data.test.inputs)
        facts = {
            "name": name,
            "title": training.task.title,
            "task": training.task.name,
            "created": datetime.now(UTC).replace(microsecond=0),
            "data": _data_facts(data),
            "training": _training_facts(recipe, fitted, latency_us(predictor, golden[:1])),
            "metrics": compute_metrics(answered, data.test.labels, THRESHOLD),
            "curves": compute_curves(answered, data.test.labels, THRESHOLD),
            "threshold": THRESHOLD,
            "confidence": compute_confidence(
                training,
                recipe,
                predictor,
                data,
                familiar,
                seed=fitted.seed,
                epochs=fitted.requested_epochs,
            ),
            "contract": training.task.contract,
            "contract_hash": training.task.contract.hash,
            "opset": OPSET,
            "golden": GoldenFacts(rows=len(golden), tolerance=TOLERANCE, reason=TOLERANCE_REASON),
            "files": {file: sha256(folder / file) for file in files},
            "licence": f"the model Apache-2.0; trained on data under {data.source.licence}",
            "intended_use": training.intended_use,
            "limits": training.limits,
        }
        return _publish(folder, parent, facts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, parent: Path, facts: dict[str, Any]) -> Path:
    folder.chmod(0o755)
    while True:
        number = int((versions(parent.parent, parent.name) or ["0"])[-1]) + 1
        card = Card.model_validate(facts | {"version": str(number)})
        (folder / CARD).write_text(card.text(), encoding="utf-8")
        try:
            return folder.rename(parent / str(number))
        except OSError:
            # Somebody else published this number meanwhile: take the next one.
            if not (parent / str(number)).exists():
                raise


def _graph_of(model: keras.Model, task: Task) -> onnx.ModelProto:
    contract = task.contract
    dtype, shape = contract.input.dtype, contract.input.shape
    names = [output.name for output in contract.outputs]

    @tf.function(  # type: ignore[untyped-decorator]  # TensorFlow has no types
        input_signature=[tf.TensorSpec(shape, dtype, name=contract.input.name)]
    )
    def graph(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(batch, training=False)
        if isinstance(task, TabularTask):
            return {names[0]: tf.reshape(probabilities, [-1])}
        return {
            names[0]: probabilities,
            names[1]: tf.argmax(probabilities, axis=1, output_type=tf.int64),
        }

    proto, _ = tf2onnx.convert.from_function(
        graph, input_signature=graph.input_signature, opset=OPSET
    )
    # TensorFlow sorts outputs by name; the contract's order is the one that clients see.
    proto.graph.output.sort(key=lambda output: names.index(output.name))
    return proto


def fuse_ensemble(model: keras.Model) -> keras.Model:
    """The same answers; an average of networks with one hidden layer each becomes one network.

    A matrix product costs the runtime about 1 us however small it is; ten networks have twenty.
    """
    answer = model.input
    for layer in model.layers[1:]:
        answer = (_one_network(layer) if _is_average_of_small(layer) else layer)(answer)
    return keras.Model(model.input, answer)


def _is_average_of_small(layer: keras.Layer) -> bool:
    return layer.name == ENSEMBLE and all(
        [type(inner) for inner in member.layers] == [keras.layers.Dense] * 2
        for member in _members(layer)
    )


def _members(ensemble: keras.Model) -> list[keras.Model]:
    return [layer for layer in ensemble.layers if layer.weights]


def _one_network(ensemble: keras.Model) -> keras.Model:
    # Hidden units side by side; each member's answer is made from its own, with zeros elsewhere.
    hidden, last = zip(*(member.layers for member in _members(ensemble)), strict=True)
    units = keras.layers.Dense(sum(layer.units for layer in hidden), hidden[0].activation)
    answers = keras.layers.Dense(len(last), last[0].activation)
    columns = keras.Input(ensemble.input_shape[1:])
    mean = keras.ops.mean(answers(units(columns)), axis=1, keepdims=True)
    network = keras.Model(columns, mean, name=ENSEMBLE)
    units.set_weights([np.concatenate(parts, -1) for parts in _weights(hidden)])
    kernels, biases = _weights(last)
    answers.set_weights([block_diag(*kernels), np.concatenate(biases)])
    return network


def _weights(layers: Sequence[keras.Layer]) -> tuple[Sequence[NDArray[np.float32]], ...]:
    """Kernels and biases."""
    return tuple(zip(*(layer.get_weights() for layer in layers), strict=True))


def _keras_answers(model: keras.Model, task: Task, inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    # A GPU's TensorFlow rounds the inputs of matrix products to ten bits (TF32).
    with tf.device("CPU:0"):
        probabilities = np.asarray(model(inputs, training=False))
    if isinstance(task, TabularTask):
        return {"probability": probabilities.reshape(-1)}
    return {"probabilities": probabilities, task.answer: probabilities.argmax(axis=1)}


def _data_facts(data: DataSplits) -> DataFacts:
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return DataFacts(
        name=data.source.title,
        home=data.source.home,
        licence=data.source.licence,
        citation=data.source.citation,
        fingerprint=data.fingerprint,
        published=data.published,
        split=data.split,
        rows={name: len(part.labels) for name, part in parts.items()},
    )


def _training_facts(recipe: str, fitted: Fitted, latency: float) -> TrainingFacts:
    return TrainingFacts(
        recipe=recipe,
        parameters=fitted.parameters,
        seed=fitted.seed,
        requested_epochs=fitted.requested_epochs,
        epochs=fitted.epochs,
        seconds=round(fitted.seconds, 1),
        device=fitted.device,
        backend=fitted.backend,
        libraries=LIBRARIES | {fitted.backend: fitted.backend_version},
        latency_us=latency,
        history={
            name: [float(f"{value:.6g}") for value in values]
            for name, values in fitted.history.items()
        },
    )
