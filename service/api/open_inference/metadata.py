"""Metadata of the server, its models and its repository in the protocol's words."""

from importlib.metadata import version
from typing import Any

from service.api.open_inference.tensors import DATATYPES, shape_of
from service.contract.signature import Tensor
from service.models.runtime.loaded import LoadedModel
from service.models.runtime.session import CPU
from service.models.versions.model_versions import ModelVersions
from service.models.versions.registry import ModelRegistry
from service.settings.version_policy import VersionPolicy

PLATFORM = "onnxruntime_onnx"
# Ours, in the words of Triton's index.
STATES = {
    "ready": "READY",
    "loading": "LOADING",
    "invalid": "UNAVAILABLE",
    "not_served": "UNAVAILABLE",
    "draining": "UNLOADING",
}
EXTENSIONS = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]


def server() -> dict[str, Any]:
    """`$metadata_server_response`."""
    return {"name": "foretell", "version": version("foretell"), "extensions": EXTENSIONS}


def model(versions: ModelVersions, served: LoadedModel) -> dict[str, Any]:
    """`$metadata_model_response`: -1 is a dimension of any size, the rows."""
    return {
        "name": served.card.name,
        "versions": sorted(versions.loaded, key=int),
        "platform": PLATFORM,
        "inputs": [_tensor(served.session.input)],
        "outputs": [_tensor(output) for output in served.session.outputs],
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape_of(tensor)}


def config(versions: ModelVersions, served: LoadedModel) -> dict[str, Any]:
    """Triton's ModelConfig, as far as it means something here.

    `max_batch_size` 0 says that shapes are whole, with the rows among the `dims`.
    https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
    """
    kind = "KIND_CPU" if served.session.provider == CPU else "KIND_GPU"
    return {
        "name": served.card.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": _policy(versions.policy),
        "max_batch_size": 0,
        "input": [_configured(served.session.input) | {"format": "FORMAT_NONE"}],
        "output": [_configured(output) for output in served.session.outputs],
        "instance_group": [{"name": served.card.name, "kind": kind, "count": 1}],
        "default_model_filename": "model.onnx",
        "parameters": {},
    }


def _policy(policy: VersionPolicy) -> dict[str, Any]:
    if policy.named:
        return {"specific": {"versions": [int(version) for version in policy.named]}}
    return {"latest": {"num_versions": policy.latest}}


def _configured(tensor: Tensor) -> dict[str, Any]:
    data_type = f"TYPE_{DATATYPES[tensor.dtype]}"
    return {"name": tensor.name, "data_type": data_type, "dims": shape_of(tensor)}


def index(registry: ModelRegistry, ready_only: bool) -> list[dict[str, str]]:
    """`$repository_index_response`: every version, and which of them answer."""
    entries = [entry for n in registry.expected for entry in _entries(registry.versions_of(n))]
    return [entry for entry in entries if not ready_only or entry["state"] == "READY"]


def _entries(versions: ModelVersions) -> list[dict[str, str]]:
    states = versions.states()
    if not states:
        return [{"name": versions.name, "state": "UNAVAILABLE", "reason": versions.problem or ""}]
    return [
        {
            "name": versions.name,
            "version": one.version,
            "state": STATES[one.state],
            "reason": one.reason
            or (versions.problem or "not served" if one.state == "not_served" else ""),
        }
        for one in states
    ]
