"""Requests made from the metadata of any server's models, without knowledge of Foretell."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
JSON_SIZE = "Inference-Header-Content-Length"
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """A model, described by its metadata."""

    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        """The name, as in paths."""
        return str(self.metadata["name"])

    @property
    def infer(self) -> str:
        """The path of its inference."""
        return f"/v2/models/{self.name}/infer"

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The inputs, each with name, datatype and shape."""
        return list(self.metadata["inputs"])

    @property
    def outputs(self) -> list[str]:
        """The names of all outputs."""
        return [output["name"] for output in self.metadata["outputs"]]

    @property
    def usable(self) -> bool:
        """True if every input is of numbers, so that values can be made up."""
        return all(tensor["datatype"] in DTYPES for tensor in self.inputs)

    @property
    def many(self) -> int:
        """The rows for about 8,000 numbers, which are worth compressing and a thread."""
        shapes = [tensor["shape"] for tensor in self.inputs]
        numbers = sum(math.prod(map(abs, shape)) for shape in shapes)
        return int(max(3, 8000 // numbers))

    def arrays(self, rows: int = 2, seed: int = 0) -> Arrays:
        """Return made-up inputs of ones and twos: the first free dimension is `rows`, others 1."""
        rng = np.random.default_rng(seed)
        return {
            tensor["name"]: rng.integers(1, 3, _sizes(tensor["shape"], rows)).astype(
                DTYPES[tensor["datatype"]]
            )
            for tensor in self.inputs
        }

    def request(self, arrays: Arrays | None = None, **changes: Any) -> dict[str, Any]:
        """Return a request with flat data as JSON."""
        arrays = self.arrays() if arrays is None else arrays
        inputs = [
            {
                "name": tensor["name"],
                "shape": list(arrays[tensor["name"]].shape),
                "datatype": tensor["datatype"],
                "data": arrays[tensor["name"]].ravel().tolist(),
            }
            for tensor in self.inputs
        ]
        return {"inputs": inputs} | changes

    def binary(self, arrays: Arrays | None = None, **changes: Any) -> tuple[bytes, bytes]:
        """Return the JSON of a request whose data follow it, and those data."""
        arrays = self.arrays() if arrays is None else arrays
        request = self.request(arrays, **changes)
        parts = []
        for tensor in request["inputs"]:
            parts.append(arrays[tensor["name"]].tobytes())
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        return json.dumps(request).encode(), b"".join(parts)


def _sizes(shape: list[int], rows: int) -> tuple[int, ...]:
    free = [place for place, size in enumerate(shape) if size == -1]
    return tuple((rows if [p] == free[:1] else 1) if n == -1 else n for p, n in enumerate(shape))


@dataclass(frozen=True)
class Server:
    """A server of the protocol, called by plain HTTP."""

    http: httpx.Client

    def get(self, path: str) -> Any:
        """Return the JSON of a GET that must succeed."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ready_models(self) -> list[str]:
        """Return the names of the ready models, by the repository extension."""
        answer = self.http.post("/v2/repository/index", json={"ready": True})
        entries = answer.json() if answer.status_code == 200 else []
        return list(dict.fromkeys(entry["name"] for entry in entries))

    def model(self, name: str) -> Model:
        """Return a model by its metadata."""
        return Model(self.get(f"/v2/models/{name}"))

    @cached_property
    def extensions(self) -> list[str]:
        """The extensions that the server says it has."""
        return list(self.get("/v2")["extensions"])

    def needs(self, extension: str) -> None:
        """Skip the test unless the server says that it has an extension."""
        if extension not in self.extensions:
            pytest.skip(f"this server does not have {extension}")

    def infer(self, model: Model, request: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON answer to a request that must succeed."""
        answer = self.http.post(model.infer, json=request)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/json")
        return dict(answer.json())

    def infer_binary(
        self, model: Model, head: bytes, data: bytes, **headers: str
    ) -> httpx.Response:
        """Return the answer to a request with data behind the JSON."""
        sent = {JSON_SIZE: str(len(head))} | headers
        return self.http.post(model.infer, content=head + data, headers=sent)

    def outputs(self, model: Model, arrays: Arrays) -> Arrays:
        """Return all outputs for inputs, requested as JSON."""
        return json_outputs(self.infer(model, model.request(arrays)))


def json_outputs(answer: dict[str, Any]) -> Arrays:
    """Return the arrays of a JSON answer."""
    return {
        output["name"]: np.array(output["data"], DTYPES[output["datatype"]]).reshape(
            output["shape"]
        )
        for output in answer["outputs"]
    }


def binary_outputs(answer: httpx.Response) -> Arrays:
    """Return the arrays of an answer, each of them binary or JSON."""
    size = int(answer.headers.get(JSON_SIZE, len(answer.content)))
    document = json.loads(answer.content[:size])
    found: Arrays = {}
    for output in document["outputs"]:
        length = output.get("parameters", {}).get("binary_data_size")
        if length is None:
            found |= json_outputs({"outputs": [output]})
            continue
        data = answer.content[size : size + length]
        array: NDArray[Any] = np.frombuffer(data, DTYPES[output["datatype"]])
        found[output["name"]] = array.reshape(output["shape"])
        size += length
    assert size == len(answer.content), "as many bytes as the sizes say, and no more"
    return found


def refused(answer: httpx.Response, *statuses: int) -> str:
    """Check that an answer is an error in the protocol's form, and return its message."""
    assert answer.status_code in (statuses or (400,)), (answer.status_code, answer.text)
    body = answer.json()
    assert isinstance(body["error"], str), body
    assert body["error"]
    return str(body["error"])


def same(got: Arrays, wanted: Arrays) -> None:
    """Check that arrays have the same names and shapes, and equal values but for rounding."""
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].shape == array.shape
        assert got[name].dtype == array.dtype
        # Batches of other sizes may be summed in another order: a few units in the last place.
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)
