"""Export to ONNX of networks that any backend of Keras fitted.

tf2onnx needs TensorFlow. For a network fitted by another backend, a process of its own with
TensorFlow builds the same network, sets the weights, must answer as the fitted one did, and
converts.
"""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from service.errors import ArtifactError
from training.artifacts.golden import TOLERANCE, golden_inputs
from training.fitting.fit import Fitted, build_untrained, full_model
from training.fitting.processes import worker_pool
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS


@dataclass(frozen=True)
class OnnxExport:
    """A network as an ONNX graph, with golden inputs and Keras' answers to them."""

    graph: onnx.ModelProto
    inputs: NDArray[Any]
    answers: dict[str, NDArray[Any]]
    """Keras' answers to `inputs`, by name of output."""
    libraries: dict[str, str]
    """The versions of the libraries that converted it, by name."""


@dataclass(frozen=True)
class _Fit:
    """A fitted network on its way to another process; `fitted` is without its model."""

    task: str
    recipe: str
    fitted: Fitted
    weights: list[NDArray[Any]]
    learned: dict[str, NDArray[Any]]
    """The arrays that the preprocessing learned, by attribute."""
    inputs: NDArray[Any]
    answers: NDArray[np.float32]
    """The fitted network's answers to `inputs`."""


def export_via_tensorflow(
    training: TaskTraining, recipe: str, fitted: Fitted, data: DataSplits
) -> OnnxExport:
    """Convert a fitted network to ONNX by TensorFlow, in another process if it is not the backend.

    Raises ArtifactError if TensorFlow answers differently from the backend that fitted.
    """
    inputs = golden_inputs(training.task, training.synthetic())
    if fitted.backend == "tensorflow":
        return _convert(training, fitted, inputs)
    preprocessing = fitted.model.get_layer("preprocessing")
    fit = _Fit(
        task=training.task.name,
        recipe=recipe,
        fitted=replace(fitted, model=None),
        weights=fitted.model.get_weights(),
        learned={name: getattr(preprocessing, name) for name in _learned_arrays(preprocessing)},
        inputs=inputs,
        answers=keras.ops.convert_to_numpy(fitted.model(inputs, training=False)),
    )
    with worker_pool(1, environment={"KERAS_BACKEND": "tensorflow"}) as process:
        return process.submit(_rebuild_and_convert, fit, data).result()


def _learned_arrays(preprocessing: keras.Layer) -> tuple[str, ...]:
    """Return the attributes of a layer that hold what it learned beside its weights."""
    names: tuple[str, ...] = getattr(preprocessing, "learned", ())
    return names


def _rebuild_and_convert(fit: _Fit, data: DataSplits) -> OnnxExport:
    training = TASK_TRAININGS[fit.task]
    recipe = training.recipes[fit.recipe]
    train, preprocessing, members = build_untrained(training, recipe, data)
    for name, values in fit.learned.items():
        setattr(preprocessing, name, values)
    model = full_model(preprocessing, members, train, recipe)
    model.set_weights(fit.weights)
    answers = keras.ops.convert_to_numpy(model(fit.inputs, training=False))
    if not np.allclose(answers, fit.answers, rtol=0, atol=TOLERANCE):
        raise ArtifactError(
            f"TensorFlow answers differently from {fit.fitted.backend} with the same weights: "
            f"expected a difference of at most {TOLERANCE:g}, got "
            f"{np.abs(answers - fit.answers).max():.3g}"
        )
    return _convert(training, replace(fit.fitted, model=model), fit.inputs)


def _convert(training: TaskTraining, fitted: Fitted, inputs: NDArray[Any]) -> OnnxExport:
    # Imported here, because it imports TensorFlow.
    from training.export.conversion import LIBRARIES, compute_golden_answers, convert

    return OnnxExport(
        graph=convert(fitted.model, training.task),
        inputs=inputs,
        answers=compute_golden_answers(fitted.model, training.task, inputs),
        libraries=LIBRARIES,
    )
