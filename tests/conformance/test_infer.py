"""Tests of inference by plain HTTP: JSON and binary, raw, compressed, ids, chosen outputs."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.conformance.protocol import (
    JSON_SIZE,
    Model,
    Server,
    binary_outputs,
    json_outputs,
    same,
)

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


def test_every_model_answers_all_outputs(server: Server, models: list[Model]) -> None:
    """An answer names the model, and each output has name, datatype and data of its shape."""
    for model in models:
        answer = server.infer(model, model.request())
        assert answer["model_name"] == model.name
        assert "id" not in answer or answer["id"] == ""
        described = {t["name"]: t["datatype"] for t in model.metadata["outputs"]}
        assert {o["name"]: o["datatype"] for o in answer["outputs"]} == described
        for array in json_outputs(answer).values():
            assert array.size


def test_an_id_comes_back(server: Server, model: Model) -> None:
    """An id comes back as it was sent, whatever characters it has."""
    for given in ("42", "ein Löwe 🦁", 'quote " and \\ backslash', "x" * 1000):
        assert server.infer(model, model.request(id=given))["id"] == given


def test_nested_data_are_flat_data(server: Server, models: list[Model]) -> None:
    """Lists that are nested by the shape give the same answer as a flat row-major list."""
    for model in models:
        arrays = model.arrays(rows=3)
        request = model.request(arrays)
        for tensor in request["inputs"]:
            tensor["data"] = arrays[tensor["name"]].tolist()
        same(json_outputs(server.infer(model, request)), server.outputs(model, arrays))


def test_only_outputs_that_are_asked_for_come(server: Server, models: list[Model]) -> None:
    """Each output can be requested by itself; an empty list requests all."""
    for model in models:
        for name in model.outputs:
            answer = server.infer(model, model.request(outputs=[{"name": name}]))
            assert [output["name"] for output in answer["outputs"]] == [name]
        assert len(server.infer(model, model.request(outputs=[]))["outputs"]) == len(model.outputs)


def test_a_version_in_the_path_answers(server: Server, model: Model) -> None:
    """A version in the path answers, and the answer names it."""
    for version in model.metadata.get("versions", []):
        path = f"/v2/models/{model.name}/versions/{version}/infer"
        answer = server.http.post(path, json=model.request())
        assert answer.status_code == 200
        assert answer.json()["model_version"] == version


def test_custom_parameters_do_no_harm(server: Server, model: Model) -> None:
    """Custom parameters (strings, numbers, booleans) are accepted and change nothing."""
    custom = {"colour": "red", "count": 3, "share": 0.5, "really": True}
    request = model.request(parameters=custom)
    request["inputs"][0]["parameters"] = custom
    server.infer(model, request)


def test_no_content_type_is_needed(server: Server, model: Model) -> None:
    """A request without Content-Type, as Triton's own client sends it, is answered."""
    body = json.dumps(model.request()).encode()
    assert server.http.post(model.infer, content=body).status_code == 200


@pytest.mark.usefixtures("binary")
def test_binary_inputs_and_outputs_are_json_ones(server: Server, models: list[Model]) -> None:
    """JSON or binary in, JSON or binary out: all four pairs give the same numbers."""
    for model in models:
        arrays = model.arrays(rows=5)
        wanted = server.outputs(model, arrays)
        for flag in (True, False):
            changes: dict[str, Any] = {"parameters": {"binary_data_output": flag}}
            answer = server.infer_binary(model, *model.binary(arrays, **changes))
            assert answer.status_code == 200, answer.text
            assert (JSON_SIZE in answer.headers) is flag
            same(binary_outputs(answer), wanted)
            asked = server.http.post(model.infer, json=model.request(arrays, **changes))
            same(binary_outputs(asked), wanted)


@pytest.mark.usefixtures("binary")
def test_an_outputs_own_form_wins(server: Server, models: list[Model]) -> None:
    """`binary_data` of an output overrides `binary_data_output` of the request."""
    for model in models:
        for flag in (True, False):
            outputs = [{"name": n, "parameters": {"binary_data": flag}} for n in model.outputs]
            request = model.request(outputs=outputs, parameters={"binary_data_output": not flag})
            answer = server.http.post(model.infer, json=request)
            assert (JSON_SIZE in answer.headers) is flag
            same(binary_outputs(answer), server.outputs(model, model.arrays()))


@pytest.mark.usefixtures("binary")
def test_a_raw_tensor_is_a_request(server: Server, models: list[Model]) -> None:
    """With header length 0 the body is the only input's data, and all outputs come as bytes."""
    for model in models:
        if len(model.inputs) != 1 or model.inputs[0]["shape"].count(-1) > 1:
            continue
        arrays = model.arrays(rows=1)
        (array,) = arrays.values()
        answer = server.http.post(model.infer, content=array.tobytes(), headers={JSON_SIZE: "0"})
        assert answer.status_code == 200, answer.text
        assert int(answer.headers[JSON_SIZE]) > 0
        same(binary_outputs(answer), server.outputs(model, arrays))


@pytest.mark.parametrize("coding", COMPRESS)
def test_requests_may_be_compressed(server: Server, model: Model, coding: str) -> None:
    """A compressed JSON request is answered like the same request uncompressed."""
    body = json.dumps(model.request()).encode()
    headers = {"Content-Encoding": coding}
    answer = server.http.post(model.infer, content=COMPRESS[coding](body), headers=headers)
    assert answer.status_code == 200, answer.text
    same(json_outputs(answer.json()), server.outputs(model, model.arrays()))


@pytest.mark.usefixtures("binary")
@pytest.mark.parametrize("coding", COMPRESS)
def test_binary_requests_may_be_compressed(server: Server, model: Model, coding: str) -> None:
    """The length in the header of a binary request is that of the JSON before compression."""
    arrays = model.arrays(rows=model.many)
    head, data = model.binary(arrays)
    answer = server.http.post(
        model.infer,
        content=COMPRESS[coding](head + data),
        headers={"Content-Encoding": coding, JSON_SIZE: str(len(head))},
    )
    assert answer.status_code == 200, answer.text
    same(binary_outputs(answer), server.outputs(model, arrays))


@pytest.mark.parametrize("coding", [*COMPRESS, "identity", "gzip;q=0, identity"])
def test_answers_are_compressed_only_for_those_who_ask(
    server: Server, model: Model, coding: str
) -> None:
    """An answer is in a coding that the request accepts, or in none, with the same content."""
    arrays = model.arrays(rows=model.many)
    request = model.request(arrays)
    answer = server.http.post(model.infer, json=request, headers={"Accept-Encoding": coding})
    assert answer.status_code == 200, answer.text
    allowed = {"identity", coding} if coding in COMPRESS else {"identity"}
    assert answer.headers.get("content-encoding", "identity") in allowed
    same(json_outputs(answer.json()), server.outputs(model, arrays))


def test_chunked_bodies_are_bodies(server: Server, model: Model) -> None:
    """A body without Content-Length, in chunks that end in the middle of a number, is answered."""
    body = json.dumps(model.request()).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    answer = server.http.post(model.infer, content=pieces())
    assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("binary")
def test_large_batches_are_small_ones_together(server: Server, model: Model) -> None:
    """One request of 4,096 rows has the same answers as 64 requests of 64 rows."""
    if model.inputs[0]["shape"][0] != -1:
        pytest.skip("this model takes no batches")
    arrays = model.arrays(rows=4096, seed=1)
    together = binary_outputs(server.infer_binary(model, *model.binary(arrays)))
    for start in (0, 64, 4032):
        part = {name: array[start : start + 64] for name, array in arrays.items()}
        small = binary_outputs(server.infer_binary(model, *model.binary(part)))
        same(small, {name: array[start : start + 64] for name, array in together.items()})
        assert all(np.isfinite(array).all() for array in small.values())
