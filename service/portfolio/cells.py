"""Cells of Arrow's types as JSON has them."""

from typing import Any

import pyarrow as pa
from pydantic_core import to_jsonable_python

from service.errors import FieldProblem, InvalidPayload
from service.problems import echo

NOT_PYTHONS = (pa.ArrowException, ValueError, OverflowError)
"""A day beyond the calendar, an unknown time zone, nanoseconds, bytes that are no text."""


def shown(cell: Any) -> str:
    """One cell for a message, cut to a length; of what JSON has no way to write, its type."""
    try:
        return echo(to_jsonable_python(cell.as_py()))
    except NOT_PYTHONS:
        return f"a value of type {cell.type}"


def as_objects(batch: Any) -> list[dict[str, Any]]:
    """Rows as dicts. Raises InvalidPayload for a column with values that Python cannot hold."""
    columns = [
        _as_python(name, cells)
        for name, cells in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _as_python(name: str, cells: Any) -> list[Any]:
    try:
        values: list[Any] = _in_microseconds(cells).to_pylist()
    except NOT_PYTHONS as error:
        problem = FieldProblem(name, "a column that fits into JSON", str(cells.type))
        raise InvalidPayload([problem]) from error
    return values


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
