"""Conversion from Keras to ONNX.

The only caller of tf2onnx, and the only module of training that needs TensorFlow itself.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray
from scipy.linalg import block_diag

from service.contract.task import Task
from training.artifacts.graph import OPSET
from training.fitting.fit import ENSEMBLE

LIBRARIES = {module.__name__: module.__version__ for module in (tf, keras, tf2onnx, onnx)}


def convert(model: keras.Model, task: Task) -> onnx.ModelProto:
    """Convert a network to an ONNX graph with the inputs and outputs of its task's contract."""
    contract = task.contract
    dtype, shape = contract.input.dtype, contract.input.shape
    names = contract.output_names
    fused = fuse_ensemble(model)

    @tf.function(  # type: ignore[untyped-decorator]  # TensorFlow has no types
        input_signature=[tf.TensorSpec(shape, dtype, name=contract.input.name)]
    )
    def graph(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return task.graph_outputs(fused(batch, training=False), tf)

    proto, _ = tf2onnx.convert.from_function(
        graph, input_signature=graph.input_signature, opset=OPSET
    )
    # TensorFlow sorts outputs by name; the contract's order is the one that clients see.
    proto.graph.output.sort(key=lambda output: names.index(output.name))
    return proto


def compute_golden_answers(
    model: keras.Model, task: Task, inputs: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Compute Keras' answers to golden inputs, by name of output, on the CPU in full float32."""
    # A GPU's TensorFlow rounds the inputs of matrix products to ten bits (TF32).
    with tf.device("CPU:0"):
        return task.graph_outputs(np.asarray(model(inputs, training=False)), np)


def fuse_ensemble(model: keras.Model) -> keras.Model:
    """Replace an average of networks with one hidden layer each by one network of equal answers.

    A matrix product costs the runtime about 1 us however small it is, and ten networks have twenty.
    """
    answer = model.input
    for layer in model.layers[1:]:
        answer = (_fuse(layer) if _is_average_of_small(layer) else layer)(answer)
    return keras.Model(model.input, answer)


def _is_average_of_small(layer: keras.Layer) -> bool:
    return layer.name == ENSEMBLE and all(
        [type(inner) for inner in member.layers] == [keras.layers.Dense] * 2
        for member in _members(layer)
    )


def _members(ensemble: keras.Model) -> list[keras.Model]:
    return [layer for layer in ensemble.layers if layer.weights]


def _fuse(ensemble: keras.Model) -> keras.Model:
    # Hidden units are concatenated; each member's answer has zero weights for the others' units.
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
    """Return the kernels and the biases of dense layers."""
    return tuple(zip(*(layer.get_weights() for layer in layers), strict=True))
