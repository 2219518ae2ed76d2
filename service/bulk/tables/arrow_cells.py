"""Cells of Arrow's types as JSON has them."""

from typing import Any

import pyarrow as pa
from pydantic_core import to_jsonable_python

from service.contract.messages import echo
from service.errors import FieldProblem, InvalidPayload

NOT_PYTHONS = (pa.ArrowException, ValueError, OverflowError)
"""A day beyond the calendar, an unknown time zone, nanoseconds, bytes that are no text."""


def shown(cell: Any) -> str:
    """Return one cell for a message, cut to a length; its type if JSON cannot write it."""
    try:
        return echo(to_jsonable_python(cell.as_py()))
    except NOT_PYTHONS:
        return f"a value of type {cell.type}"


def as_objects(batch: Any) -> list[dict[str, Any]]:
    """Return rows as dicts. Raises InvalidPayload for a column that Python cannot hold."""
    names = batch.schema.names
    try:
        columns = [_in_microseconds(cells) for cells in batch.columns]
        return list(pa.RecordBatch.from_arrays(columns, names=names).to_pylist())
    except NOT_PYTHONS:
        for name, cells in zip(names, batch.columns, strict=True):
            _check(name, cells)
        raise


def _check(name: str, cells: Any) -> None:
    try:
        _in_microseconds(cells).to_pylist()
    except NOT_PYTHONS as error:
        problem = FieldProblem(name, "a column that fits into JSON", str(cells.type))
        raise InvalidPayload([problem]) from error


def _in_microseconds(cells: Any) -> Any:
    """Times as Python and JSON have them. Raises ArrowInvalid rather than drop a nanosecond."""
    kind = cells.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return cells.cast(pa.timestamp("us", kind.tz))
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return cells.cast(pa.duration("us"))
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return cells.cast(pa.time64("us"))
    return cells
