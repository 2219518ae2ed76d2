"""What the protocol says of the server, its models and its repository."""

from importlib.metadata import version
from typing import Any

from service.artifact import versions
from service.contract import Tensor
from service.errors import ModelNotReady, UnknownModel
from service.predictor import CPU
from service.repository import Repository, Served
from service.v2.tensors import DATATYPES, shape_of

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]


def find(repository: Repository, name: str, wanted: str | None = None) -> Served:
    """The version of a model that a path names; by default the one that answers.

    Raises UnknownModel or ModelNotReady.
    """
    served = repository.get(name)
    if wanted is not None and wanted != served.card.version:
        raise UnknownModel(f"{name}/{wanted}", [f"{name}/{served.card.version}"])
    return served


def server() -> dict[str, Any]:
    """`$metadata_server_response`."""
    return {"name": "foretell", "version": version("foretell"), "extensions": EXTENSIONS}


def model(served: Served) -> dict[str, Any]:
    """`$metadata_model_response`: -1 is a dimension of any size, the rows."""
    return {
        "name": served.card.name,
        "versions": [served.card.version],
        "platform": PLATFORM,
        "inputs": [_tensor(served.predictor.input)],
        "outputs": [_tensor(output) for output in served.predictor.outputs],
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape_of(tensor)}


def config(served: Served) -> dict[str, Any]:
    """Triton's ModelConfig, as far as it means something here.

    `max_batch_size` 0 says that shapes are whole, with the rows among the `dims`.
    https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
    """
    kind = "KIND_CPU" if served.predictor.provider == CPU else "KIND_GPU"
    return {
        "name": served.card.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [_configured(served.predictor.input) | {"format": "FORMAT_NONE"}],
        "output": [_configured(output) for output in served.predictor.outputs],
        "instance_group": [{"name": served.card.name, "kind": kind, "count": 1}],
        "default_model_filename": "model.onnx",
        "parameters": {},
    }


def _configured(tensor: Tensor) -> dict[str, Any]:
    data_type = f"TYPE_{DATATYPES[tensor.dtype]}"
    return {"name": tensor.name, "data_type": data_type, "dims": shape_of(tensor)}


def index(repository: Repository, ready_only: bool) -> list[dict[str, str]]:
    """`$repository_index_response`: every version on disk, and which of them answers."""
    entries = [entry for name in repository.expected for entry in _states(repository, name)]
    return [entry for entry in entries if not ready_only or entry["state"] == "READY"]


def _states(repository: Repository, name: str) -> list[dict[str, str]]:
    try:
        answering, reason = repository.get(name).card.version, ""
    except (ModelNotReady, UnknownModel) as error:
        answering, reason = None, str(error)
    on_disk = versions(repository.models_dir, name)
    if not on_disk:
        return [{"name": name, "state": "UNAVAILABLE", "reason": reason}]
    return [
        {"name": name, "version": found, "state": "READY", "reason": ""}
        if found == answering
        else {
            "name": name,
            "version": found,
            "state": "UNAVAILABLE",
            "reason": reason or f"version {answering} answers",
        }
        for found in on_disk
    ]
