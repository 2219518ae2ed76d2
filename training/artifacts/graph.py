"""An exported graph as a file, and the in-distribution score that is added to it.

Adding the score changes no weight of the network and no bit of its other outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from service.contract.uncertainty import OOD_SCORE
from service.errors import ArtifactError
from service.models.artifacts.artifact import MODEL, SIGNATURE

OPSET = 17
PREFIX = f"{OOD_SCORE}/"
"""The start of the name of each node and constant that is added."""
CONVOLUTIONS = 2
"""The number of last convolutions that the score takes, beside the inputs of the last layer."""


@dataclass(frozen=True)
class ScoreHead:
    """The network that scores features: F columns, H units with ReLU, a sigmoid.

    The score is in-distribution: 1 looks like the training pictures, 0 does not.
    """

    hidden: NDArray[np.float32]
    """Shape [F, H]."""
    bias: NDArray[np.float32]
    last: NDArray[np.float32]
    """Shape [H]."""
    shift: np.float32

    def score(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """Compute scores float64[N] of features [N, F] by NumPy alone."""
        units = np.maximum(features.astype(np.float64) @ self.hidden + self.bias, 0)
        return np.asarray(1 / (1 + np.exp(-(units @ self.last + self.shift))))


def write_graph(proto: onnx.ModelProto, folder: Path) -> None:
    """Write a graph as model.onnx, and as text without weights as signature.txt."""
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, folder / MODEL)
    (folder / SIGNATURE).write_text(onnx.printer.to_text(_without_weights(proto)) + "\n")


def _without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with every large constant cut to its shape, so that its text is short."""
    short = onnx.ModelProto()
    short.CopyFrom(proto)
    for tensor in short.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) > 16:
            dims, kind, label = list(tensor.dims), tensor.data_type, tensor.name
            tensor.Clear()
            tensor.CopyFrom(onnx.TensorProto(name=label, data_type=kind, dims=dims))
    return short


def remove_score(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph as it was before a score was added."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    graph = bare.graph
    for field, kept in (
        (graph.node, [n for n in graph.node if not n.name.startswith(PREFIX)]),
        (graph.initializer, [t for t in graph.initializer if not t.name.startswith(PREFIX)]),
        (graph.output, [o for o in graph.output if o.name != OOD_SCORE]),
    ):
        copies = [type(each).FromString(each.SerializeToString()) for each in kept]
        del field[:]
        field.extend(copies)
    return bare


def expose_features(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with one more output, `in_distribution_score/features` float32[N, F].

    The features are the inputs of the last layer, and the mean and maximum of every channel of the
    last two convolutions.
    """
    extended = onnx.ModelProto()
    extended.CopyFrom(proto)
    _add_features(extended.graph, *_feature_tensors(proto))
    value = helper.make_tensor_value_info(f"{PREFIX}features", TensorProto.FLOAT, ["N", "F"])
    extended.graph.output.append(value)
    return extended


def add_score(proto: onnx.ModelProto, head: ScoreHead) -> onnx.ModelProto:
    """Return the graph with one more output: `in_distribution_score` float32[N], from 0 to 1."""
    extended = onnx.ModelProto()
    extended.CopyFrom(proto)
    graph = extended.graph
    _add_features(graph, *_feature_tensors(proto))
    _add(graph, "Gemm", ["features", "hidden", "bias"], "units")
    _add(graph, "Relu", ["units"], "active")
    _add(graph, "Gemm", ["active", "last", "shift"], "score")
    _add(graph, "Sigmoid", ["score"], "column")
    graph.node.append(
        helper.make_node(
            "Reshape", [f"{PREFIX}column", f"{PREFIX}flat"], [OOD_SCORE], name=f"{PREFIX}reshape"
        )
    )
    constants = {
        "hidden": head.hidden,
        "bias": head.bias,
        "last": head.last[:, None],
        "shift": head.shift.reshape(1),
        "flat": np.array([-1], np.int64),
    }
    for name, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(values, PREFIX + name))
    graph.output.append(helper.make_tensor_value_info(OOD_SCORE, TensorProto.FLOAT, ["N"]))
    return extended


def features_by_numpy(proto: onnx.ModelProto, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the features float64[N, F] by ONNX's reference in NumPy: slow, for a proof."""
    last, convolutions = _feature_tensors(proto)
    values: Mapping[str, Any] = ReferenceEvaluator(proto).run(
        None, {proto.graph.input[0].name: inputs}, intermediate=True
    )
    pools = [
        pool(values[name].astype(np.float64), axis=(2, 3))
        for name in convolutions
        for pool in (np.mean, np.max)
    ]
    return np.concatenate([*pools, values[last]], axis=1)


def _add_features(graph: onnx.GraphProto, last: str, convolutions: Sequence[str]) -> None:
    parts = []
    for number, name in enumerate(convolutions):
        for pool in ("GlobalAveragePool", "GlobalMaxPool"):
            inner = f"{pool}{number}"
            graph.node.append(
                helper.make_node(pool, [name], [PREFIX + inner], name=f"{PREFIX}{inner}")
            )
            _add(graph, "Flatten", [inner], f"{inner}/flat")
            parts.append(f"{PREFIX}{inner}/flat")
    graph.node.append(
        helper.make_node(
            "Concat", [*parts, last], [f"{PREFIX}features"], name=f"{PREFIX}concat", axis=1
        )
    )


def _add(graph: onnx.GraphProto, kind: str, inputs: Sequence[str], output: str) -> None:
    names = [PREFIX + name for name in inputs]
    graph.node.append(helper.make_node(kind, names, [PREFIX + output], name=PREFIX + output))


def _feature_tensors(proto: onnx.ModelProto) -> tuple[str, list[str]]:
    """Return the names of the last layer's input and of the last convolutions' outputs."""
    products = [node for node in proto.graph.node if node.op_type in ("MatMul", "Gemm")]
    if not products:
        raise ArtifactError("the graph has no layer: expected a matrix product, got none")
    known = shape_inference.infer_shapes(proto).graph.value_info
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known}
    active = [node.output[0] for node in proto.graph.node if node.op_type == "Relu"]
    return products[-1].input[0], [name for name in active if ranks.get(name) == 4][-CONVOLUTIONS:]
