"""Export of what any backend of Keras fitted. tf2onnx needs TensorFlow, so another hands over.

A process of its own, with TensorFlow as its backend, builds the same network anew, takes over what
was learned, must answer as the fitted one did, and exports.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.errors import ArtifactError
from training.artifacts.golden import TOLERANCE, golden_inputs
from training.fitting.fit import Fitted, build_untrained, full_model
from training.fitting.processes import worker_pool
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS


@dataclass(frozen=True)
class Handover:
    """What goes from one process to the other; `fitted` without its model, which cannot."""

    task: str
    recipe: str
    fitted: Fitted
    weights: list[NDArray[Any]]
    learned: dict[str, NDArray[Any]]
    """Of the preprocessing, by attribute."""
    inputs: NDArray[Any]
    answers: NDArray[np.float32]
    """What the fitted network makes of `inputs`."""


def export(
    training: TaskTraining, recipe: str, fitted: Fitted, data: DataSplits, models_dir: Path
) -> Path:
    """Write a fitted model as the next version of its name; whole or not at all.

    Raises ArtifactError, leaving nothing behind, if what would be served answers differently.
    """
    if fitted.backend == "tensorflow":
        from training.export.export import export as export_here

        return export_here(training, recipe, fitted, data, models_dir)
    preprocessing = fitted.model.get_layer("preprocessing")
    inputs = golden_inputs(training.task, training.synthetic())
    handed = Handover(
        task=training.task.name,
        recipe=recipe,
        fitted=replace(fitted, model=None),
        weights=fitted.model.get_weights(),
        learned={name: getattr(preprocessing, name) for name in learned(preprocessing)},
        inputs=inputs,
        answers=keras.ops.convert_to_numpy(fitted.model(inputs, training=False)),
    )
    with worker_pool(1, environment={"KERAS_BACKEND": "tensorflow"}) as process:
        return process.submit(_take_over, handed, data, models_dir).result()


def learned(preprocessing: keras.Layer) -> tuple[str, ...]:
    """The attributes of a layer that hold what it learned, beside its weights."""
    names: tuple[str, ...] = getattr(preprocessing, "learned", ())
    return names


def _take_over(handed: Handover, data: DataSplits, models_dir: Path) -> Path:
    from training.export.export import export as export_here

    training = TASK_TRAININGS[handed.task]
    recipe = training.recipes[handed.recipe]
    train, preprocessing, members = build_untrained(training, recipe, data)
    for name, values in handed.learned.items():
        setattr(preprocessing, name, values)
    model = full_model(preprocessing, members, train, recipe)
    model.set_weights(handed.weights)
    answers = keras.ops.convert_to_numpy(model(handed.inputs, training=False))
    if not np.allclose(answers, handed.answers, rtol=0, atol=TOLERANCE):
        raise ArtifactError(
            f"TensorFlow answers otherwise than {handed.fitted.backend} with the same weights: "
            f"expected a difference of at most {TOLERANCE:g}, got "
            f"{np.abs(answers - handed.answers).max():.3g}"
        )
    return export_here(
        training, handed.recipe, replace(handed.fitted, model=model), data, models_dir
    )
