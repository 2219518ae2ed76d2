"""Tensors of the protocol and NumPy arrays: names of types, shapes, JSON and bytes.

Bytes are little-endian, row-major, without padding; JSON data are a flat row-major list or lists
nested as the shape says.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.contract.messages import echo
from service.contract.signature import Tensor
from service.errors import FieldProblem, InvalidPayload

DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""NumPy's type for each datatype that can become an input; BOOL, BYTES and BF16 cannot."""
DATATYPES = {dtype.name: name for name, dtype in DTYPES.items()}
DIMENSIONS_SHOWN = 8


def refuse(field: str, expected: str, got: str) -> InvalidPayload:
    """Return the error of one bad field."""
    return InvalidPayload([FieldProblem(field, expected, got)])


def shape_of(tensor: Tensor) -> list[int]:
    """Return a tensor's shape as the protocol writes it: -1 for any size."""
    return [-1 if size is None else size for size in tensor.shape]


def row_bytes(tensor: Tensor) -> int:
    """Return the bytes of one row (1 in every free dimension) in the graph's own type."""
    return math.prod(size or 1 for size in tensor.shape) * np.dtype(tensor.dtype).itemsize


def check_shape(tensor: Tensor, shape: Sequence[object], field: str) -> tuple[int, ...]:
    """Return the shape if the graph takes it. Raises InvalidPayload.

    A free dimension is of any size from 1: graphs differ in what they make of no rows at all.
    """
    if len(shape) == len(tensor.shape):
        sizes = tuple(size for size in shape if type(size) is int)
        if len(sizes) == len(shape) and all(map(_size_fits, sizes, tensor.shape)):
            return sizes
    raise refuse(field, f"{shape_of(tensor)} (-1: any size from 1)", shown(shape))


def _size_fits(size: int, wanted: int | None) -> bool:
    return size >= 1 if wanted is None else size == wanted


def shown(shape: Sequence[object]) -> str:
    """Return a shape as a message shows it."""
    if len(shape) > DIMENSIONS_SHOWN:
        return f"{len(shape)} dimensions"
    return "[" + ", ".join(echo_number(size) for size in shape) + "]"


def echo_number(value: object) -> str:
    """Return a value sent in place of a whole number, as text: 1.0 is shown as 1.0."""
    text = echo(value)
    return f"{text}.0" if type(value) is float and text.removeprefix("-").isdigit() else text


def from_bytes(data: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the bytes as an array without a copy; they are exactly as many as the shape takes.

    But for bytes that lie at an odd address, where compiled kernels may not read them.
    """
    return np.require(np.frombuffer(data, dtype).reshape(shape), requirements="A")


def from_json(
    data: object, shape: tuple[int, ...], dtype: np.dtype[Any], field: str
) -> NDArray[Any]:
    """Return the numbers of a JSON list; null is NaN if the type has one. Raises InvalidPayload.

    NaN is taken as well, which is no JSON but what `tritonclient` writes; infinity is not, because
    a number too large reads the same.
    """
    values = _flat(data, shape, field)
    floating = dtype.kind == "f"
    allowed = {int, float, type(None)} if floating else {int}
    if others := set(map(type, values)) - allowed:
        first = next(value for value in values if type(value) in others)
        raise refuse(field, "numbers or null" if floating else "whole numbers", echo_number(first))
    try:
        array = np.array(values, np.float64 if floating else dtype)
        with np.errstate(over="ignore"):
            array = array.astype(dtype, copy=False)
    except OverflowError as error:
        raise refuse(field, f"numbers that {dtype.name} holds", str(error)) from error
    if floating and np.isinf(array).any():
        raise refuse(field, f"finite numbers that {dtype.name} holds", "one that is too large")
    return array.reshape(shape)


def _flat(data: object, shape: tuple[int, ...], field: str) -> list[Any]:
    if type(data) is not list:
        raise refuse(field, "a list", echo(data))
    values: list[Any] = data
    if values and type(values[0]) is list:
        sizes: Sequence[int] = shape
    else:
        sizes = [math.prod(shape)]
    if len(values) != sizes[0]:
        raise refuse(field, f"{sizes[0]:,} values", f"{len(values):,}")
    for size in sizes[1:]:
        for part in values:
            if type(part) is not list or len(part) != size:
                got = f"one of {len(part)}" if type(part) is list else echo(part)
                raise refuse(field, f"flat, or nested as shape: lists of {size}", got)
        values = list(chain.from_iterable(values))
    return values


def cast(array: NDArray[Any], tensor: Tensor, field: str) -> NDArray[Any]:
    """Return the array in the graph's type, every value unchanged. Raises InvalidPayload.

    FP64 that FP32 cannot hold exactly is refused as well: rounding is the caller's to decide.
    """
    wanted = np.dtype(tensor.dtype)
    if array.dtype == wanted:
        return array
    with np.errstate(all="ignore"):
        result = array.astype(wanted)
        kept = (result.astype(array.dtype) == array) & _within(array, result)
    if wanted.kind == array.dtype.kind == "f":
        kept |= np.isnan(array)
    if not kept.all():
        example = array[~kept].ravel()[0].item()
        expected = f"values that {DATATYPES[wanted.name]}, the graph's type, holds exactly"
        raise refuse(field, expected, echo(example))
    return result


def _within(array: NDArray[Any], result: NDArray[Any]) -> Any:
    # What a cast makes of numbers out of range differs between processors, and may cast back well.
    if result.dtype.kind != "f":
        return _inside(array, np.iinfo(result.dtype))
    return True if array.dtype.kind == "f" else _inside(result, np.iinfo(array.dtype))


def _inside(values: NDArray[Any], limits: "np.iinfo[Any]") -> Any:
    # The largest whole number of 64 bits, as a float, is rounded up to one that is out of range.
    floating = values.dtype.kind == "f"
    below = values < float(limits.max) + 1 if floating else values <= limits.max
    return (values >= limits.min) & below
