"""Tests by Triton's own HTTP client, unmodified, synchronous and asyncio."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http as sync_client
import tritonclient.http.aio as async_client
from tritonclient.utils import InferenceServerException

from tests.conformance.protocol import Arrays, Model, Server, same

pytestmark = pytest.mark.usefixtures("binary")
CODINGS = [None, "gzip", "deflate"]


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with sync_client.InferenceServerClient(urlsplit(url).netloc, concurrency=4) as connected:
        yield connected


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    async with async_client.InferenceServerClient(urlsplit(url).netloc) as client:
        yield client


def inputs_of(module: Any, model: Model, arrays: Arrays, *, binary: bool = True) -> list[Any]:
    """Return arrays as a client's inputs."""
    inputs = []
    for tensor in model.inputs:
        array = arrays[tensor["name"]]
        made = module.InferInput(tensor["name"], list(array.shape), tensor["datatype"])
        made.set_data_from_numpy(array, binary_data=binary)
        inputs.append(made)
    return inputs


def outputs_of(module: Any, model: Model, *, binary: bool) -> list[Any]:
    """Return requests for all outputs by name."""
    return [module.InferRequestedOutput(name, binary_data=binary) for name in model.outputs]


def arrays_in(result: Any, model: Model) -> Arrays:
    """Return the arrays that a client made of an answer."""
    return {name: result.as_numpy(name) for name in model.outputs}


def test_health_and_metadata(client: Any, server: Server, models: list[Model]) -> None:
    """Every call of the client before inference is answered."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata() == server.get("/v2")
    for model in models:
        assert client.is_model_ready(model.name)
        assert client.get_model_metadata(model.name) == model.metadata
    assert not client.is_model_ready("no-such-model")
    assert not client.is_model_ready(models[0].name, "999999")


def test_repository_configuration_and_statistics(client: Any, server: Server, model: Model) -> None:
    """The client's calls of the extensions are answered."""
    if "model_repository" in server.extensions:
        assert model.name in {entry["name"] for entry in client.get_model_repository_index()}
    if "model_configuration" in server.extensions:
        assert client.get_model_config(model.name)["name"] == model.name
    if "statistics" in server.extensions:
        assert client.get_inference_statistics(model.name)["model_stats"]
        assert client.get_inference_statistics()["model_stats"]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_every_form_of_request_gives_the_same_answer(
    client: Any,
    server: Server,
    models: list[Model],
    coding: str | None,
    binary_in: bool,
    binary_out: bool | None,
) -> None:
    """JSON or binary, compressed or not, outputs by name or not: all give the same answer."""
    for model in models:
        arrays = model.arrays(rows=model.many)
        outputs = None
        if binary_out is not None:
            outputs = outputs_of(sync_client, model, binary=binary_out)
        result = client.infer(
            model.name,
            inputs_of(sync_client, model, arrays, binary=binary_in),
            outputs=outputs,
            request_id="seven",
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        assert result.get_response()["id"] == "seven"
        same(arrays_in(result, model), server.outputs(model, arrays))


def test_a_version_can_be_asked_for(client: Any, server: Server, model: Model) -> None:
    """Each version that exists answers; another one is an error."""
    arrays = model.arrays()
    inputs = inputs_of(sync_client, model, arrays)
    for version in model.metadata.get("versions", []):
        result = client.infer(model.name, inputs, model_version=version)
        same(arrays_in(result, model), server.outputs(model, arrays))
    with pytest.raises(InferenceServerException) as failed:
        client.infer(model.name, inputs, model_version="999999")
    assert failed.value.status() in ("400", "404")


def test_errors_are_exceptions_with_a_message(client: Any, model: Model) -> None:
    """An unknown model, input or output, or a shape that does not fit, raises with a message."""
    good = inputs_of(sync_client, model, model.arrays())
    renamed = sync_client.InferInput("no such input", [1, 1], "FP32")
    renamed.set_data_from_numpy(np.zeros((1, 1), np.float32))
    first = model.inputs[0]
    shape = [*(1 if size == -1 else size for size in first["shape"]), 3]
    misshapen = sync_client.InferInput(first["name"], shape, first["datatype"])
    misshapen.set_data_from_numpy(np.zeros(shape, model.arrays()[first["name"]].dtype))
    attempts: list[tuple[str, list[Any], list[Any] | None]] = [
        ("no-such-model", good, None),
        (model.name, [renamed], None),
        (model.name, [misshapen, *good[1:]], None),
        (model.name, good, [sync_client.InferRequestedOutput("no such output")]),
    ]
    for name, inputs, outputs in attempts:
        with pytest.raises(InferenceServerException) as failed:
            client.infer(name, inputs, outputs=outputs)
        assert failed.value.status() in ("400", "404")
        assert failed.value.message()


def test_asynchronous_calls_of_the_synchronous_client(
    client: Any, server: Server, model: Model
) -> None:
    """Several calls of `async_infer` under way at once have each its own answer."""
    batches = [model.arrays(rows=1 + seed, seed=seed) for seed in range(12)]
    waiting = [
        client.async_infer(model.name, inputs_of(sync_client, model, arrays)) for arrays in batches
    ]
    for arrays, call in zip(batches, waiting, strict=True):
        same(arrays_in(call.get_result(), model), server.outputs(model, arrays))


def test_the_asyncio_client(url: str, server: Server, models: list[Model]) -> None:
    """The asyncio client gets metadata, inference in every form, and errors."""

    async def ask() -> None:
        async with connected(url) as client:
            assert await client.is_server_ready()
            for model in models:
                assert await client.get_model_metadata(model.name) == model.metadata
                arrays = model.arrays(rows=model.many)
                wanted = server.outputs(model, arrays)
                for binary in (True, False):
                    for coding in CODINGS:
                        result = await client.infer(
                            model.name,
                            inputs_of(async_client, model, arrays, binary=binary),
                            outputs=outputs_of(async_client, model, binary=binary),
                            request_compression_algorithm=coding,
                            response_compression_algorithm=coding,
                        )
                        same(arrays_in(result, model), wanted)
            with pytest.raises(InferenceServerException):
                await client.infer("no-such-model", inputs_of(async_client, model, arrays))

    asyncio.run(ask())


def test_answers_do_not_cross_between_callers(
    url: str, server: Server, models: list[Model]
) -> None:
    """Many calls at once, of all models and sizes, get each its own numbers and its own id."""
    cases = [(model, model.arrays(rows=1 + i % 7, seed=i)) for i in range(40) for model in models]
    wanted = [server.outputs(model, arrays) for model, arrays in cases]

    async def one(client: Any, place: int) -> None:
        model, arrays = cases[place]
        inputs = inputs_of(async_client, model, arrays, binary=place % 2 == 0)
        result = await client.infer(model.name, inputs, request_id=str(place))
        assert result.get_response()["id"] == str(place)
        same(arrays_in(result, model), wanted[place])

    async def everyone() -> None:
        async with connected(url) as client:
            await asyncio.gather(*(one(client, place) for place in range(len(cases))))

    asyncio.run(everyone())


def test_threads_with_clients_of_their_own(url: str, server: Server, model: Model) -> None:
    """Eight threads, each with its own client and inputs, get each its own answers."""

    def calls(seed: int) -> list[Arrays]:
        arrays = model.arrays(rows=3, seed=seed)
        with sync_client.InferenceServerClient(urlsplit(url).netloc) as client:
            inputs = inputs_of(sync_client, model, arrays)
            return [arrays_in(client.infer(model.name, inputs), model) for _ in range(10)]

    with ThreadPoolExecutor(8) as threads:
        for seed, results in enumerate(threads.map(calls, range(8))):
            wanted = server.outputs(model, model.arrays(rows=3, seed=seed))
            for got in results:
                same(got, wanted)
