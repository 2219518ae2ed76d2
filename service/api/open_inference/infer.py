"""An inference: the request's bytes to an array, through the model, and to the answer's bytes."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from service.api.open_inference.request import (
    InferRequest,
    InputTensor,
    RequestedOutput,
    read_request,
)
from service.api.open_inference.tensors import (
    DATATYPES,
    DTYPES,
    cast,
    check_shape,
    from_bytes,
    from_json,
    refuse,
    row_bytes,
)
from service.contract.messages import echo
from service.contract.signature import Outputs, Tensor
from service.errors import InvalidOutput
from service.models.runtime.batcher import BatchRun
from service.models.runtime.loaded import LoadedModel
from service.models.runtime.session import OnnxSession

SHORT = 16 * 1024
"""Bytes of a request that is read sooner than a thread could be woken."""


@dataclass(frozen=True)
class Timing:
    """Nanoseconds of one inference's parts, and its rows."""

    rows: int
    input: int
    infer: int
    output: int
    executed: int
    """Rows of the run that this inference is to count; 0: another that shared it has done so."""


Answer = TypeVar("Answer")
Decode = Callable[[], tuple[InferRequest, NDArray[Any]]]
Encode = Callable[[InferRequest, Sequence[RequestedOutput], dict[str, NDArray[Any]]], Answer]


async def infer(
    served: LoadedModel, length: float, decode: Decode, encode: Encode[Answer]
) -> tuple[Answer, Timing]:
    """Return the answer to one request of `length` bytes, and the time of its parts.

    `decode` reads the request, `encode` words the answer. Raises InvalidPayload, Unsupported,
    InvalidOutput or QueueError.
    """
    call = _TimedCall(served, decode, encode)
    most_rows = length / row_bytes(served.session.input)
    return await served.answer(call.decode, call.encode, most_rows, is_short=length <= SHORT)


class _TimedCall(Generic[Answer]):
    """One request's first and last step, timed and checked."""

    def __init__(self, served: LoadedModel, decode: Decode, encode: Encode[Answer]) -> None:
        self._served, self._decode, self._encode = served, decode, encode

    def decode(self) -> NDArray[Any]:
        start = perf_counter_ns()
        self._request, batch = self._decode()
        self._wanted = chosen(self._request, self._served.session.outputs)
        self._input_ns = perf_counter_ns() - start
        return batch

    def encode(self, batch: NDArray[Any], outputs: Outputs, run: BatchRun) -> tuple[Answer, Timing]:
        start = perf_counter_ns()
        check(self._served, batch, outputs)
        answer = self._encode(self._request, self._wanted, outputs)
        output_ns = perf_counter_ns() - start
        return answer, Timing(len(batch), self._input_ns, run.ns, output_ns, run.count())


def decode(
    session: OnnxSession, body: bytes, json_size: int | None
) -> tuple[InferRequest, NDArray[Any]]:
    """Return a request over REST, and its batch: `json_size` bytes of JSON, then binary inputs.

    None: all of it is JSON. 0: there is no JSON, and all of it is the data of the only input.
    Raises InvalidPayload or Unsupported.
    """
    if json_size == 0:
        return InferRequest(None, (), (), binary=True), _raw(session.input, body)
    if json_size is None:
        json_size = len(body)
    if json_size > len(body):
        expected = f"a length within the body's {len(body):,} bytes"
        raise refuse("Inference-Header-Content-Length", expected, echo(json_size))
    request = read_request(body[:json_size])
    data = memoryview(body)[json_size:]
    return request, batch_of(request.inputs, session.input, data)


def _raw(tensor: Tensor, body: bytes) -> NDArray[Any]:
    rows, rest = divmod(len(body), row_bytes(tensor))
    if rest or not rows:
        expected = f"a multiple of {row_bytes(tensor):,} bytes, a row of {tensor.name}"
        raise refuse("body", expected, f"{len(body):,}")
    shape = tuple(rows if size is None else size for size in tensor.shape)
    return from_bytes(memoryview(body), shape, np.dtype(tensor.dtype))


def batch_of(inputs: Sequence[InputTensor], tensor: Tensor, data: memoryview) -> NDArray[Any]:
    """Return the model's only input; `data` holds binary ones. Raises InvalidPayload."""
    names = [given.name for given in inputs]
    if names != [tensor.name]:
        got = ", ".join(echo(name) for name in names[:8]) or "none"
        raise refuse("inputs", f"one input, named {echo(tensor.name)}", got)
    (given,) = inputs
    shape = check_shape(tensor, given.shape, "inputs[0].shape")
    dtype = dtype_of(given.datatype, tensor, "inputs[0].datatype")
    size = 0 if given.binary_size is None else math.prod(shape) * dtype.itemsize
    if given.binary_size is not None and given.binary_size != size:
        field = "inputs[0].parameters.binary_data_size"
        raise refuse(field, f"{size:,}, by shape and datatype", echo(given.binary_size))
    if len(data) != size:
        raise refuse("body", f"{size:,} bytes behind the JSON", f"{len(data):,}")
    if given.binary_size is None:
        array = from_json(given.data, shape, dtype, "inputs[0].data")
    else:
        array = from_bytes(data, shape, dtype)
    return cast(array, tensor, "inputs[0]")


def dtype_of(datatype: str, tensor: Tensor, field: str) -> np.dtype[Any]:
    """NumPy's type of a datatype by name. Raises InvalidPayload if no input can be made of it."""
    if datatype not in DTYPES:
        wanted = DATATYPES[tensor.dtype]
        others = ", ".join(name for name in DTYPES if name != wanted)
        raise refuse(field, f"{wanted}, or {others} with values it holds", echo(datatype))
    return DTYPES[datatype]


def chosen(request: InferRequest, outputs: Iterable[Tensor]) -> Sequence[RequestedOutput]:
    """Return the outputs to answer, and their form. Raises InvalidPayload for an unknown one."""
    known = [output.name for output in outputs]
    for place, output in enumerate(request.outputs):
        if output.name not in known:
            raise refuse(f"outputs[{place}].name", f"one of {', '.join(known)}", echo(output.name))
    return request.outputs or [RequestedOutput(name, request.binary) for name in known]


def check(served: LoadedModel, batch: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
    """Raises InvalidOutput or InvalidPayload, as `blame` decides, of what is no answer."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and (row := served.task.invalid_row(array)) is not None:
            raise blame(served, name, row, batch[row])


def blame(served: LoadedModel, output: str, row: int, values: NDArray[Any]) -> Exception:
    """Return the error of a row whose answer is none.

    Arrays are taken as they come, without the contract's bounds: where a row breaks them, infinity
    say, the fault is the caller's; else it is the model's.
    """
    for place, feature in enumerate(served.task.contract.features):
        value = float(values[place])
        if not feature.holds(value):
            field = f"inputs[0] at [{row}, {place}] ({feature.name})"
            noun = served.task.output_noun
            expected = f"what the contract allows (the model's {output} for it is no {noun})"
            return refuse(field, expected, echo(value))
    kind = f"{served.task.output_noun}{served.task.output_range}"
    return InvalidOutput(f"the model's {output} of row {row} is not a {kind}")


def encode(
    served: LoadedModel,
    request: InferRequest,
    wanted: Sequence[RequestedOutput],
    outputs: dict[str, NDArray[Any]],
) -> tuple[bytes, Sequence[memoryview]]:
    """Return the JSON of an answer, and the data behind it: views of the outputs, not copies."""
    data: list[memoryview] = []
    described: list[dict[str, Any]] = []
    for output in wanted:
        array = outputs[output.name]
        tensor = {
            "name": output.name,
            "datatype": DATATYPES[array.dtype.name],
            "shape": list(array.shape),
        }
        if output.binary:
            view = array.data.cast("B")
            data.append(view)
            described.append(tensor | {"parameters": {"binary_data_size": len(view)}})
        else:
            described.append(tensor | {"data": array.ravel().tolist()})
    names = {"model_name": served.card.name, "model_version": served.card.version}
    given = {} if request.id is None else {"id": request.id}
    return to_json(names | given | {"outputs": described}), data
