"""Inference requests and answers of gRPC, taken apart and put together."""

from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from service.api.open_inference.grpc.definitions import message
from service.api.open_inference.infer import batch_of
from service.api.open_inference.request import (
    InferRequest,
    InputTensor,
    RequestedOutput,
    check_offered,
)
from service.api.open_inference.tensors import DATATYPES, refuse
from service.contract.signature import Tensor
from service.models.runtime.loaded import LoadedModel

CONTENTS = {
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Where a datatype's values are if they are not raw; FP16 is always raw."""
MOST_FIELDS = 1000
"""Of a message itself: tensors, parameters and so on. Millions fit into one, and parsed they take
forty times its size."""

Response = message("inference.ModelInferResponse")


def parse(kind: Any, data: bytes) -> Any:
    """Parse a message. Raises InvalidPayload if the bytes are none, or have too many fields."""
    if _fields(data) > MOST_FIELDS:
        raise refuse("message", f"at most {MOST_FIELDS:,} fields", "more")
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise refuse("message", f"a {kind.DESCRIPTOR.name}", f"something else ({error})") from error


def _fields(data: bytes) -> int:
    # https://protobuf.dev/programming-guides/encoding/. What is malformed the parser refuses.
    place = fields = 0
    while place < len(data) and fields <= MOST_FIELDS:
        tag, place = _varint(data, place)
        value, after = _varint(data, place)
        place = {0: after, 1: place + 8, 2: after + value, 5: place + 4}.get(tag & 7, len(data))
        fields += 1
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[place : place + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place + shift + 1
    return value, len(data)


def decode(request: Any, tensor: Tensor) -> tuple[InferRequest, NDArray[Any]]:
    """Return the request of a message, and its batch. Raises InvalidPayload or Unsupported."""
    _parameters(request, "parameters")
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise refuse("raw_input_contents", f"{len(request.inputs)}, one an input", f"{len(raw)}")
    inputs = [
        _input(given, raw[place] if raw else None, f"inputs[{place}]")
        for place, given in enumerate(request.inputs)
    ]
    outputs = [
        RequestedOutput(_named(output, f"outputs[{place}]"), binary=True)
        for place, output in enumerate(request.outputs)
    ]
    if len({output.name for output in outputs}) < len(outputs):
        raise refuse("outputs", "each output once", "one again")
    data = memoryview(b"".join(raw))
    asked = InferRequest(request.id or None, tuple(inputs), tuple(outputs), binary=True)
    return asked, batch_of(inputs, tensor, data)


def _input(given: Any, raw: bytes | None, field: str) -> InputTensor:
    name, shape, size = _named(given, field), list(given.shape), None
    values: list[Any] | None = None
    if raw is None:
        values = list(getattr(given.contents, CONTENTS.get(given.datatype, "bytes_contents")))
    elif given.HasField("contents"):
        raise refuse(field, "either contents or raw_input_contents", "both")
    else:
        size = len(raw)
    return InputTensor(name, shape, given.datatype, values, size)


def _named(tensor: Any, field: str) -> str:
    _parameters(tensor, f"{field}.parameters")
    return str(tensor.name)


def _parameters(owner: Any, field: str) -> None:
    values = {
        name: getattr(value, value.WhichOneof("parameter_choice") or "bool_param")
        for name, value in owner.parameters.items()
    }
    check_offered(values, field)


def encode(
    served: LoadedModel,
    request: InferRequest,
    wanted: list[RequestedOutput],
    outputs: dict[str, NDArray[Any]],
) -> Any:
    """Return a ModelInferResponse with raw contents: one copy, because messages own their bytes."""
    answer = Response(
        model_name=served.card.name, model_version=served.card.version, id=request.id or ""
    )
    for output in wanted:
        array = outputs[output.name]
        datatype = DATATYPES[array.dtype.name]
        answer.outputs.add(name=output.name, datatype=datatype, shape=array.shape)
        answer.raw_output_contents.append(array.tobytes())
    return answer
