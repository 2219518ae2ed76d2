"""Whatever bytes come: a domain error or an array, and nothing else."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from service.api.open_inference.grpc.messages import decode, parse
from service.api.open_inference.infer import batch_of
from service.api.open_inference.request import read_request
from service.contract.signature import Tensor
from service.errors import InvalidPayload, RequestError

ROWS = Tensor(name="x", dtype="float32", shape=(None, 2))
DATATYPES = ["FP16", "FP32", "FP64", "INT8", "INT64", "UINT8", "UINT64", "BOOL", "BYTES", "?"]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
sizes = st.integers(-2, 3) | st.integers() | anything
near_misses = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | anything,
        "shape": st.lists(sizes, max_size=3) | anything,
        "datatype": st.sampled_from(DATATYPES) | anything,
        "data": st.lists(scalars, max_size=6)
        | st.lists(st.lists(scalars, max_size=3), max_size=3)
        | anything,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "shared_memory_region", "mine"]),
            st.sampled_from([0, 1, 4, 8, 16]) | anything,
        )
        | anything,
    },
)


def is_sound(array: Any) -> None:
    assert array.dtype == np.float32
    assert array.ndim == 2
    assert array.shape[1] == 2
    assert array.flags.aligned


@settings(max_examples=600, deadline=None)
@given(inputs=st.lists(near_misses | anything, max_size=2), data=st.binary(max_size=24))
def test_any_json_and_data_are_an_array_or_refused(inputs: list[Any], data: bytes) -> None:
    """Documents close to a request, with anything in every place."""
    body = json.dumps({"inputs": inputs}).encode()
    with suppress(RequestError):
        is_sound(batch_of(read_request(body).inputs, ROWS, memoryview(data)))


@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused_as_json(body: bytes) -> None:
    """Or read, where they happen to be some."""
    with suppress(RequestError):
        read_request(body)


@settings(max_examples=300, deadline=None)
@given(
    datatype=st.sampled_from(DATATYPES),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=3),
    raw=st.lists(st.binary(max_size=24), max_size=2),
    floats=st.lists(st.floats(width=32), max_size=6),
    cut=st.integers(0, 10),
)
def test_any_message_is_an_array_or_refused(
    datatype: str, shape: list[int], raw: list[bytes], floats: list[float], cut: int
) -> None:
    """Also one that was cut short."""
    message = service_pb2.ModelInferRequest(model_name="x", raw_input_contents=raw)
    given_input = message.inputs.add(name="x", datatype=datatype, shape=shape)
    given_input.contents.fp32_contents.extend(floats)
    data = message.SerializeToString()
    with suppress(RequestError):
        request = parse(service_pb2.ModelInferRequest, data[: len(data) - cut])
        _, array = decode(request, ROWS)
        is_sound(array)


@given(data=st.binary(max_size=100))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    """Never an error of the parser's own."""
    with suppress(InvalidPayload):
        parse(service_pb2.ModelInferRequest, data)
