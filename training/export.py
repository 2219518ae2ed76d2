"""Keras to models/<name>/<version>/: one ONNX file, its card and its proof.

The only caller of tf2onnx, and the only code of training that needs TensorFlow itself.
"""

import shutil
import tempfile
import time
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

from service.artifact import (
    BACKGROUND,
    CARD,
    GOLDEN,
    MODEL,
    SIGNATURE,
    Card,
    DataFacts,
    GoldenFacts,
    TrainingFacts,
    sha256,
    versions,
)
from service.predictor import Predictor
from service.task import TabularTask, Task
from training.background import background_of, write_background
from training.curves import curves_of
from training.evaluate import metrics_of, probabilities_of
from training.fit import ENSEMBLE, Fitted
from training.golden import golden_inputs
from training.recipe import Course, Prepared

OPSET = 17
THRESHOLD = 0.5
TOLERANCE = 1e-5
TOLERANCE_REASON = (
    "float32 has 24 bits of mantissa (6e-8); sums over up to 3,136 products in another order "
    "differ by a few 1e-7 in a probability, so 1e-5 leaves room for every processor and still "
    "catches any change of preprocessing or weights"
)
LIBRARIES = {module.__name__: module.__version__ for module in (tf, keras, tf2onnx, onnx, ort, np)}


def export(course: Course, recipe: str, fitted: Fitted, data: Prepared, models_dir: Path) -> Path:
    """Write a fitted model as the next version of its name; whole or not at all.

    Raises ArtifactError, leaving nothing behind, unless ONNX Runtime repeats Keras' golden answers.
    """
    name = course.model_name(recipe)
    parent = models_dir / name
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=parent))
    try:
        _write_graph(condensed(fitted.model), course.task, folder)
        golden = golden_inputs(course.task, course.synthetic())
        _write_golden(fitted.model, course.task, golden, folder)
        files = [MODEL, GOLDEN, SIGNATURE]
        if isinstance(course.task, TabularTask):
            write_background(background_of(data.train.inputs, course.task.features), folder)
            files.append(BACKGROUND)
        predictor = Predictor(folder / MODEL, "cpu")
        answered = probabilities_of(predictor, data.test.inputs)
        facts = {
            "name": name,
            "title": course.task.title,
            "task": course.task.name,
            "created": datetime.now(UTC).replace(microsecond=0),
            "data": _data_facts(data),
            "training": _training_facts(recipe, fitted, latency_us(predictor, golden[:1])),
            "metrics": metrics_of(answered, data.test.labels, THRESHOLD),
            "curves": curves_of(answered, data.test.labels, THRESHOLD),
            "threshold": THRESHOLD,
            "contract": course.task.contract,
            "contract_hash": course.task.contract.hash,
            "opset": OPSET,
            "golden": GoldenFacts(rows=len(golden), tolerance=TOLERANCE, reason=TOLERANCE_REASON),
            "files": {file: sha256(folder / file) for file in files},
            "licence": f"the model Apache-2.0; trained on data under {data.source.licence}",
            "intended_use": course.intended_use,
            "limits": course.limits,
        }
        return _publish(folder, parent, facts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, parent: Path, facts: dict[str, Any]) -> Path:
    folder.chmod(0o755)
    while True:
        number = int((versions(parent.parent, parent.name) or ["0"])[-1]) + 1
        card = Card.model_validate(facts | {"version": str(number)})
        (folder / CARD).write_text(card.text())
        try:
            return folder.rename(parent / str(number))
        except OSError:
            # Somebody else published this number meanwhile: take the next one.
            if not (parent / str(number)).exists():
                raise


def _write_graph(model: keras.Model, task: Task, folder: Path) -> None:
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
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, folder / MODEL)
    (folder / SIGNATURE).write_text(onnx.printer.to_text(_without_weights(proto)) + "\n")


def condensed(model: keras.Model) -> keras.Model:
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


def _without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with every large constant cut to its shape, so that its text can be read."""
    short = onnx.ModelProto()
    short.CopyFrom(proto)
    for tensor in short.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) > 16:
            dims, kind, label = list(tensor.dims), tensor.data_type, tensor.name
            tensor.Clear()
            tensor.CopyFrom(onnx.TensorProto(name=label, data_type=kind, dims=dims))
    return short


def _write_golden(model: keras.Model, task: Task, inputs: NDArray[Any], folder: Path) -> None:
    """Keras' answers, compared with ONNX Runtime's at once, in bulk, singly and at odd sizes."""
    # A GPU's TensorFlow rounds the inputs of matrix products to ten bits (TF32).
    with tf.device("CPU:0"):
        probabilities = np.asarray(model(inputs, training=False))
    if isinstance(task, TabularTask):
        answers: dict[str, NDArray[Any]] = {"probability": probabilities.reshape(-1)}
    else:
        answers = {"probabilities": probabilities, task.answer: probabilities.argmax(axis=1)}
    arrays: dict[str, Any] = {"input": inputs, **answers}
    np.savez_compressed(folder / GOLDEN, **arrays)
    predictor = Predictor(folder / MODEL, "cpu")
    predictor.check_signature(task.contract)
    predictor.check_golden(inputs, answers, TOLERANCE)


def _data_facts(data: Prepared) -> DataFacts:
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


def latency_us(predictor: Predictor, row: NDArray[Any]) -> float:
    """Microseconds for one row on one thread: the median of single runs for a quarter second."""
    times: list[int] = []
    end = time.perf_counter() + 0.25
    while time.perf_counter() < end:
        start = time.perf_counter_ns()
        predictor.predict(row)
        times.append(time.perf_counter_ns() - start)
    return round(float(np.median(times)) / 1000, 1)


def _training_facts(recipe: str, fitted: Fitted, latency: float) -> TrainingFacts:
    return TrainingFacts(
        recipe=recipe,
        parameters=fitted.parameters,
        seed=fitted.seed,
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
