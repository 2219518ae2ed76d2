"""Tests of gRPC by Triton's own client, unmodified, and by messages that it would not send."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as sync_client
import tritonclient.grpc.aio as async_client
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.conformance.protocol import DTYPES, Arrays, Model, Server, same
from tests.conformance.test_client import arrays_in

CONTENTS = {
    **dict.fromkeys(["UINT8", "UINT16", "UINT32"], "uint_contents"),
    **dict.fromkeys(["INT8", "INT16", "INT32"], "int_contents"),
    "BOOL": "bool_contents",
    "UINT64": "uint64_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


@pytest.fixture
def client(grpc_address: str) -> Iterator[Any]:
    with sync_client.InferenceServerClient(grpc_address) as connected:
        yield connected


@pytest.fixture
def stub(grpc_address: str) -> Iterator[Any]:
    """Yield the protocol's methods without a client around them."""
    with grpc.insecure_channel(grpc_address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def inputs_of(module: Any, model: Model, arrays: Arrays) -> list[Any]:
    """Return arrays as a client's inputs."""
    inputs = []
    for tensor in model.inputs:
        array = arrays[tensor["name"]]
        made = module.InferInput(tensor["name"], list(array.shape), tensor["datatype"])
        made.set_data_from_numpy(array)
        inputs.append(made)
    return inputs


def message_of(model: Model, *, raw: bool = True) -> Any:
    """Return a good request as a message."""
    message = service_pb2.ModelInferRequest(model_name=model.name)
    for tensor in model.inputs:
        array = model.arrays()[tensor["name"]]
        given = message.inputs.add(
            name=tensor["name"], datatype=tensor["datatype"], shape=array.shape
        )
        if raw:
            message.raw_input_contents.append(array.tobytes())
        else:
            getattr(given.contents, CONTENTS[tensor["datatype"]]).extend(array.ravel().tolist())
    return message


def outputs_in(message: Any) -> Arrays:
    """Return the arrays of an answer with raw or typed contents."""
    raw = list(message.raw_output_contents) or [None] * len(message.outputs)
    found: Arrays = {}
    for output, data in zip(message.outputs, raw, strict=True):
        dtype = DTYPES[output.datatype]
        array: NDArray[Any]
        if data is None:
            array = np.array(getattr(output.contents, CONTENTS[output.datatype]), dtype)
        else:
            array = np.frombuffer(data, dtype)
        found[output.name] = array.reshape(tuple(output.shape))
    return found


def code_of(failed: Any) -> str:
    """Return the name of the status code of Triton's exception or of gRPC's own."""
    if isinstance(failed.value, InferenceServerException):
        return str(failed.value.status()).removeprefix("StatusCode.")
    return str(failed.value.code().name)


def test_health_and_metadata_are_those_of_http(
    client: Any, server: Server, models: list[Model]
) -> None:
    """Health and metadata over gRPC agree with those over HTTP."""
    assert client.is_server_live()
    assert client.is_server_ready()
    described = client.get_server_metadata()
    assert (described.name, described.version) == (
        server.get("/v2")["name"],
        server.get("/v2")["version"],
    )
    for model in models:
        assert client.is_model_ready(model.name)
        metadata = client.get_model_metadata(model.name)
        for got, wanted in (
            (metadata.inputs, model.inputs),
            (metadata.outputs, model.metadata["outputs"]),
        ):
            found = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in got]
            assert found == wanted


def test_repository_configuration_and_statistics(client: Any, server: Server, model: Model) -> None:
    """The extensions that the server says it has are answered."""
    if "model_repository" in server.extensions:
        listed = client.get_model_repository_index().models
        assert model.name in {entry.name for entry in listed}
    if "model_configuration" in server.extensions:
        assert client.get_model_config(model.name).config.name == model.name
    if "statistics" in server.extensions:
        client.infer(model.name, inputs_of(sync_client, model, model.arrays()))
        (found, *_) = client.get_inference_statistics(model.name).model_stats
        assert found.inference_stats.success.count > 0
        assert client.get_inference_statistics().model_stats


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_answers_are_those_of_http(
    client: Any, server: Server, models: list[Model], coding: str | None
) -> None:
    """All outputs together and each by itself are those of HTTP; ids come back."""
    for model in models:
        arrays = model.arrays(rows=model.many)
        wanted = server.outputs(model, arrays)
        inputs = inputs_of(sync_client, model, arrays)
        result = client.infer(model.name, inputs, request_id="seven", compression_algorithm=coding)
        assert result.get_response().id == "seven"
        assert result.get_response().model_name == model.name
        same(arrays_in(result, model), wanted)
        for name in model.outputs:
            asked = [sync_client.InferRequestedOutput(name)]
            single = client.infer(model.name, inputs, outputs=asked)
            same({name: single.as_numpy(name)}, {name: wanted[name]})
            assert len(single.get_response().outputs) == 1


def test_typed_contents_are_raw_ones(stub: Any, server: Server, models: list[Model]) -> None:
    """Typed `contents` of an input, from clients that do not send bytes, give the same answer."""
    for model in models:
        if any(tensor["datatype"] not in CONTENTS for tensor in model.inputs):
            continue
        wanted = server.outputs(model, model.arrays())
        same(outputs_in(stub.ModelInfer(message_of(model, raw=False))), wanted)
        same(outputs_in(stub.ModelInfer(message_of(model))), wanted)


def test_versions_that_there_are_answer_and_others_do_not(client: Any, model: Model) -> None:
    """An unknown version is NOT_FOUND; other servers may say INVALID_ARGUMENT or UNAVAILABLE."""
    inputs = inputs_of(sync_client, model, model.arrays())
    for version in model.metadata.get("versions", []):
        result = client.infer(model.name, inputs, model_version=version)
        assert result.get_response().model_version == version
    for name, version in ((model.name, "999999"), ("no-such-model", "")):
        with pytest.raises(InferenceServerException) as failed:
            client.infer(name, inputs, model_version=version)
        assert code_of(failed) in ("NOT_FOUND", "INVALID_ARGUMENT", "UNAVAILABLE")


def wrong_messages(model: Model) -> dict[str, Any]:
    """Return requests that the protocol rules out, by name."""
    wrong = {
        name: message_of(model)
        for name in (
            *("negative", "huge", "product", "rank", "no shape", "datatype", "name"),
            *("short", "long", "none", "one more", "both", "twice", "output"),
        )
    }
    shapes = {
        "negative": [-1, 13],
        "huge": [2**62, 2**62],
        "product": [2**32, 2**32],
        "rank": [1] * 1000,
        "no shape": [],
    }
    for name, shape in shapes.items():
        del wrong[name].inputs[0].shape[:]
        wrong[name].inputs[0].shape.extend(shape)
    wrong["datatype"].inputs[0].datatype = "FP31"
    wrong["name"].inputs[0].name = "no such input"
    wrong["short"].raw_input_contents[0] = wrong["short"].raw_input_contents[0][:-1]
    wrong["long"].raw_input_contents[0] += b"x"
    del wrong["none"].raw_input_contents[:]
    wrong["one more"].raw_input_contents.append(b"")
    wrong["both"].inputs[0].contents.fp32_contents.append(1)
    wrong["twice"].inputs.add().CopyFrom(wrong["twice"].inputs[0])
    wrong["twice"].raw_input_contents.append(wrong["twice"].raw_input_contents[0])
    wrong["output"].outputs.add(name="no such output")
    return wrong


def test_wrong_messages_are_invalid_arguments(stub: Any, server: Server, model: Model) -> None:
    """Each wrong request has a message of its own; a good one afterwards is answered."""
    for name, message in wrong_messages(model).items():
        with pytest.raises(grpc.RpcError) as failed:
            stub.ModelInfer(message, timeout=20)
        assert code_of(failed) in ("INVALID_ARGUMENT", "NOT_FOUND"), name
        assert failed.value.details()
    answer = stub.ModelInfer(message_of(model))
    same(outputs_in(answer), server.outputs(model, model.arrays()))


def test_bytes_that_are_no_message_do_no_harm(grpc_address: str, model: Model) -> None:
    """Bytes that are not a message get an error of gRPC's own and crash nothing."""
    with grpc.insecure_channel(grpc_address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for garbage in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x3a" + b"\x80" * 50):
            with pytest.raises(grpc.RpcError) as failed:
                call(garbage, timeout=20)
            assert code_of(failed) in ("INTERNAL", "INVALID_ARGUMENT", "UNKNOWN")
        with pytest.raises(grpc.RpcError):  # a hundred thousand inputs, all of them empty
            call(b"\x0a\x01x" + b"\x2a\x00" * 100_000, timeout=20)
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(message_of(model)).outputs


def test_the_asyncio_client_gets_its_own_answers(
    grpc_address: str, server: Server, models: list[Model]
) -> None:
    """Many calls at once, of all models and sizes on one channel, get each its own answer."""
    cases = [(model, model.arrays(rows=1 + i % 7, seed=i)) for i in range(30) for model in models]
    wanted = [server.outputs(model, arrays) for model, arrays in cases]

    async def everyone() -> None:
        async with async_client.InferenceServerClient(grpc_address) as client:
            assert await client.is_server_ready()

            async def one(place: int) -> None:
                model, arrays = cases[place]
                inputs = inputs_of(async_client, model, arrays)
                result = await client.infer(model.name, inputs, request_id=str(place))
                assert result.get_response().id == str(place)
                same(arrays_in(result, model), wanted[place])

            await asyncio.gather(*map(one, range(len(cases))))
            with pytest.raises(InferenceServerException):
                await client.infer("no-such-model", inputs_of(async_client, *cases[0]))

    asyncio.run(everyone())
