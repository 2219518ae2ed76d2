"""Small real artifacts for tests: graphs of a few nodes, with cards and golden answers."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from service.contract.tabular import TabularTask
from service.contract.task import Task
from service.models.artifacts.artifact import BACKGROUND, CARD, GOLDEN, MODEL, SIGNATURE, sha256
from service.models.artifacts.card import Card
from service.models.runtime.session import OnnxSession

TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


def write_artifact(
    models_dir: Path,
    task: Task,
    *,
    name: str | None = None,
    version: str = "1",
    graph: onnx.ModelProto | None = None,
) -> Path:
    """Write a complete, valid artifact whose answers depend on every input; return its folder."""
    folder = models_dir / (name or task.name) / version
    folder.mkdir(parents=True)
    onnx.save(graph or graph_of(task), folder / MODEL)
    (folder / SIGNATURE).write_text("a graph of a few nodes, for tests\n")
    inputs = golden_of(task)
    session = OnnxSession(folder / MODEL, "cpu")
    arrays: dict[str, Any] = {"input": inputs, **session.run(inputs)}
    np.savez(folder / GOLDEN, **arrays)
    if isinstance(task, TabularTask):  # only these are explained by reference rows
        np.savez(folder / BACKGROUND, rows=background_rows(task), weights=np.array([3, 1, 2, 4]))
    write_card(folder, task)
    return folder


def write_card(folder: Path, task: Task, /, **changes: Any) -> None:
    """Write the model card of a folder's files as they are now, with `changes` to its fields."""
    facts: dict[str, Any] = {
        "name": folder.parent.name,
        "version": folder.name,
        "title": task.title,
        "task": task.name,
        "created": datetime(2026, 1, 1, tzinfo=UTC),
        "data": {
            "name": "made up",
            "home": "tests",
            "licence": "none",
            "citation": "none",
            "fingerprint": "0",
            "published": False,
            "split": "none",
            "rows": {"train": 1, "validation": 1, "test": 1},
        },
        "training": {
            "recipe": "test",
            "parameters": 1,
            "seed": 0,
            "epochs": 1,
            "seconds": 0,
            "device": "cpu:0",
            "libraries": {},
            "latency_us": 1.0,
            "history": {},
        },
        "metrics": {"accuracy": 0.5},
        "curves": {"confusion": [], "calibration": []},
        "threshold": 0.5,
        "contract": task.contract,
        "contract_hash": task.contract.hash,
        "opset": 17,
        "golden": {"rows": 8, "tolerance": 1e-5, "reason": "the same runtime made them"},
        "files": {
            file.name: sha256(file) for file in sorted(folder.iterdir()) if file.name != CARD
        },
        "licence": "Apache-2.0",
        "intended_use": "tests",
        "limits": "tests",
    }
    card = Card.model_validate(facts | changes)
    (folder / CARD).write_text(card.text())


def golden_of(task: Task) -> NDArray[Any]:
    """Return eight inputs that fit the contract's tensor."""
    rng = np.random.default_rng(0)
    shape = (8, *(size or 1 for size in task.contract.input.shape[1:]))
    if task.contract.features:
        rows = rng.normal(size=shape).astype(np.float32)
        rows[1, :] = np.nan
        return rows
    return rng.integers(0, 256, shape, np.uint8)


def background_rows(task: TabularTask) -> NDArray[np.float32]:
    """Return four reference rows of small numbers, which differ from each other in every field."""
    fields = np.arange(len(task.features), dtype=np.float32)
    return np.stack([(fields + 3 * row) % 11 - 5 for row in range(4)])


def graph_of(task: Task, bias: float = 0.0) -> onnx.ModelProto:
    """Return a graph of a few nodes with the contract's tensors."""
    if isinstance(task, TabularTask):
        nodes, constants = _tabular(task, bias)
    else:
        nodes, constants = _images(task, bias)
    return model_of(task, nodes, constants)


def wide_graph_of(task: TabularTask, width: int = 3072) -> onnx.ModelProto:
    """Return a graph with the answers of `graph_of` and a layer whose weights take most time.

    The layer is so wide that sixteen rows take little longer than one.
    """
    nodes, constants = _tabular(task, 0.0)
    (place,) = [at for at, node in enumerate(nodes) if node.op_type == "MatMul"]
    nodes[place : place + 1] = [
        helper.make_node("MatMul", ["filled", "weights"], ["narrow"]),
        helper.make_node("Expand", ["narrow", "one_to_width"], ["wide"]),
        helper.make_node("MatMul", ["wide", "mean"], ["mixed"]),
        helper.make_node("ReduceMean", ["mixed"], ["column"], axes=[1], keepdims=1),
    ]
    constants["one_to_width"] = np.array([1, width], np.int64)
    constants["mean"] = np.full((width, width), 1 / width, np.float32)
    return model_of(task, nodes, constants)


def model_of(task: Task, nodes: list[Any], constants: dict[str, NDArray[Any]]) -> onnx.ModelProto:
    """Return a graph of these nodes, with the contract's tensors."""
    contract = task.contract
    graph = helper.make_graph(
        nodes,
        "test",
        [_value(contract.input)],
        [_value(output) for output in contract.outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests"
    )


def _value(tensor: Any) -> onnx.ValueInfoProto:
    shape = ["N" if size is None else size for size in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, TYPES[tensor.dtype], shape)


def _tabular(task: TabularTask, bias: float) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    # sigmoid(bias + sum of 0.01 * i-th field, NaN as 0)
    weights = 0.01 * (1 + np.arange(len(task.features), dtype=np.float32)[:, None])
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["column"]),
        helper.make_node("Add", ["column", "bias"], ["shifted"]),
        helper.make_node("Sigmoid", ["shifted"], ["squashed"]),
        helper.make_node("Reshape", ["squashed", "flat"], ["probability"]),
    ]
    constants = {
        "zero": np.float32(0),
        "weights": weights,
        "bias": np.float32(bias),
        "flat": np.array([-1], np.int64),
    }
    return nodes, {name: np.asarray(value) for name, value in constants.items()}


def _images(task: Task, bias: float) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    # softmax of the mean brightness of one band of rows a class; the score is the mean of all
    height, width = (size or 1 for size in task.contract.input.shape[1:])
    classes, pixels = len(task.contract.labels), height * width
    band = pixels // classes
    weights = np.zeros((pixels, classes), np.float32)
    for number in range(classes):
        weights[number * band : (number + 1) * band, number] = 1 / band / 25
    label = task.contract.outputs[1].name
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["shifted"]),
        helper.make_node("Softmax", ["shifted"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], [label], axis=1, keepdims=0),
        helper.make_node("ReduceMean", ["rows"], ["brightness"], axes=[1], keepdims=0),
        helper.make_node("Div", ["brightness", "white"], ["in_distribution_score"]),
    ]
    tilt = np.zeros(classes, np.float32)
    tilt[0] = bias
    flat, white = np.array([-1, pixels], np.int64), np.array(255, np.float32)
    return nodes, {"flat": flat, "weights": weights, "bias": tilt, "white": white}
