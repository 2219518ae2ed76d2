"""An inference request's JSON, taken apart and checked, as far as that needs no model.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Checked by hand and up to the first error: a body of millions of bad fields costs one message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from service.api.open_inference.tensors import echo_number, refuse
from service.contract.messages import echo
from service.errors import Unsupported

REQUEST = frozenset({"id", "parameters", "inputs", "outputs", "model_name", "model_version"})
INPUT = frozenset({"name", "shape", "datatype", "parameters", "data"})
OUTPUT = frozenset({"name", "parameters"})
# Extensions of Triton's that would change the answer: not to be passed over in silence.
NOT_OFFERED = ("shared_memory_region", "classification", "sequence_id")
MOST_PARTS = 250_000
"""Lists, objects and fields of one body. Millions of them would hold up every caller for seconds;
as many numbers do not."""


@dataclass(frozen=True)
class InputTensor:
    """One input: `data` as JSON, or `binary_size` bytes behind the JSON."""

    name: str
    shape: list[Any]
    datatype: str
    data: object
    binary_size: int | None


@dataclass(frozen=True)
class RequestedOutput:
    """One output that was asked for, and in which form."""

    name: str
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """An inference request. Without `outputs` all are answered, in the form that `binary` says."""

    id: str | None
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...]
    binary: bool


def read_request(json: bytes) -> InferRequest:
    """Parse the JSON of a request. Raises InvalidPayload or Unsupported."""
    parts = json.count(b"[") + json.count(b"{") + json.count(b":")
    if parts > MOST_PARTS:
        expected = f"at most {MOST_PARTS:,} lists and fields (data may be flat, or binary)"
        raise refuse("body", expected, f"{parts:,}")
    try:
        document = from_json(json)
    except ValueError as error:
        raise refuse("body", f"valid JSON ({error})", f"{len(json)} bytes") from error
    request = _object(document, "body", REQUEST)
    parameters = _parameters(request, "parameters")
    binary = _flag(parameters, "binary_data_output", "parameters", default=False)
    inputs = _list(request.get("inputs"), "inputs")
    outputs = _list(_given(request, "outputs", []), "outputs")
    name = request.get("id")
    if name is not None:
        _string(name, "id")
    return InferRequest(
        id=name,
        inputs=tuple(_input(value, f"inputs[{i}]") for i, value in enumerate(inputs)),
        outputs=_outputs(outputs, binary),
        binary=binary,
    )


def _input(value: object, field: str) -> InputTensor:
    tensor = _object(value, field, INPUT)
    parameters = _parameters(tensor, f"{field}.parameters")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        expected, got = "a whole number from 0", echo_number(size)
        raise refuse(f"{field}.parameters.binary_data_size", expected, got)
    if (size is None) == (tensor.get("data") is None):
        got = "neither" if size is None else "both"
        raise refuse(field, "either data or parameters.binary_data_size", got)
    return InputTensor(
        name=_string(tensor.get("name"), f"{field}.name"),
        shape=_list(tensor.get("shape"), f"{field}.shape"),
        datatype=_string(tensor.get("datatype"), f"{field}.datatype"),
        data=tensor.get("data"),
        binary_size=size,
    )


def _outputs(values: list[Any], binary: bool) -> tuple[RequestedOutput, ...]:
    outputs: dict[str, RequestedOutput] = {}
    for place, value in enumerate(values):
        field = f"outputs[{place}]"
        output = _object(value, field, OUTPUT)
        name = _string(output.get("name"), f"{field}.name")
        if name in outputs:
            raise refuse(f"{field}.name", "each output once", f"{echo(name)} again")
        parameters = _parameters(output, f"{field}.parameters")
        flag = _flag(parameters, "binary_data", f"{field}.parameters", default=binary)
        outputs[name] = RequestedOutput(name, flag)
    return tuple(outputs.values())


def _parameters(owner: dict[str, Any], field: str) -> dict[str, Any]:
    # Custom parameters are the caller's own affair; no model here knows any.
    parameters = _object(_given(owner, "parameters", {}), field)
    check_offered(parameters, field)
    return parameters


def check_offered(parameters: Mapping[str, object], field: str) -> None:
    """Raises Unsupported for a parameter that asks for what is not offered here."""
    for name in NOT_OFFERED:
        if parameters.get(name):
            raise Unsupported(f"{field}.{name} asks for an extension that is not offered here")


def _flag(parameters: dict[str, Any], name: str, field: str, default: bool) -> bool:
    value = _given(parameters, name, default)
    if type(value) is not bool:
        raise refuse(f"{field}.{name}", "true or false", echo(value))
    return value


def _object(value: object, field: str, known: frozenset[str] | None = None) -> dict[str, Any]:
    if type(value) is not dict:
        raise refuse(field, "an object", echo(value))
    if known is not None and (unknown := value.keys() - known):
        name = min(unknown)
        expected = f"only {', '.join(sorted(known))}"
        raise refuse(field, expected, echo(name))
    return value


def _given(owner: dict[str, Any], name: str, default: object) -> object:
    value = owner.get(name)
    return default if value is None else value


def _list(value: object, field: str) -> list[Any]:
    if type(value) is not list:
        raise refuse(field, "a list", "nothing" if value is None else echo(value))
    return value


def _string(value: object, field: str) -> str:
    if type(value) is not str:
        raise refuse(field, "a string", "nothing" if value is None else echo(value))
    return value
