"""The contract between training and serving: what one row is, field by field.

A task declares its fields once, as a pydantic model whose fields carry `Number` or `Code`. From
that one declaration come the validation of requests, the JSON schema in /docs, the column order of
the array that the network sees, and the features written into every model's card. The hash over
them is how the service knows that a model was trained for the fields it is about to be given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, eq=False)
class Number:
    """A measured quantity: finite, from `low` to `high` inclusive, in `unit`.

    `zero_is_missing`: the records of this field write 0 where nothing was measured; a 0 is accepted
    and treated as not recorded.
    """

    unit: str
    low: float
    high: float
    zero_is_missing: bool = False

    @property
    def expected(self) -> str:
        """The values that a caller may send, in words."""
        text = f"a number from {self.low:.10g} to {self.high:.10g} ({self.unit})"
        return text + (", or 0 for not recorded" if self.zero_is_missing else "")

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = core_schema.float_schema(
            strict=True, ge=self.low, le=self.high, allow_inf_nan=False
        )
        if self.zero_is_missing:
            schema = core_schema.union_schema([schema, _one_of([0])], mode="left_to_right")
        return _explained(schema, self.expected)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        bounds = {"type": "number", "minimum": self.low, "maximum": self.high}
        if self.zero_is_missing:
            return {"anyOf": [bounds, {"const": 0, "title": "not recorded"}], "unit": self.unit}
        return bounds | {"unit": self.unit}


@dataclass(frozen=True, eq=False)
class Code:
    """One of a few whole numbers, each with a meaning. 2.0 is taken for 2; true and "2" are not."""

    meanings: Mapping[int, str]

    @property
    def expected(self) -> str:
        """The values that a caller may send, in words."""
        return "one of " + ", ".join(f"{code} ({text})" for code, text in self.meanings.items())

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return _explained(_one_of(list(self.meanings)), self.expected)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        meanings = {str(code): text for code, text in self.meanings.items()}
        return {"type": "integer", "enum": list(self.meanings), "x-meanings": meanings}


def _one_of(codes: list[int]) -> CoreSchema:
    # A literal alone would take `true` for 1, as Python does; a strict float before it does not.
    number = core_schema.float_schema(strict=True, allow_inf_nan=False)
    return core_schema.chain_schema([number, core_schema.literal_schema(codes)])


def _explained(schema: CoreSchema, expected: str) -> CoreSchema:
    # One error per field, saying all that is expected of it, instead of the first rule it broke.
    return core_schema.custom_error_schema(
        schema,
        custom_error_type="feature",
        custom_error_message="expected {expected}",
        custom_error_context={"expected": expected},
    )


class Payload(BaseModel):
    """Base of every request: unknown fields are refused, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Feature(BaseModel):
    """One column of the network's input, as recorded in a model's card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["number", "code"]
    required: bool
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    zero_is_missing: bool = False
    codes: dict[int, str] = {}

    @property
    def expected(self) -> str:
        """The values that a caller may send, in the words of a request's errors."""
        if self.low is None or self.high is None:
            return Code(self.codes).expected
        return Number(self.unit or "", self.low, self.high, self.zero_is_missing).expected

    def holds(self, value: float) -> bool:
        """Return True for a number that the payload lets through."""
        if math.isnan(value):
            return not self.required
        if self.kind == "code":
            return value in self.codes
        assert self.low is not None
        assert self.high is not None
        return self.low <= value <= self.high or (self.zero_is_missing and value == 0)

    @classmethod
    def of(cls, name: str, field: FieldInfo) -> "Feature":
        """Return the feature that a payload's field declares. Raises TypeError without one."""
        required = field.is_required()
        match _declaration(field):
            case Number() as number:
                return cls(
                    name=name,
                    kind="number",
                    required=required,
                    unit=number.unit,
                    low=number.low,
                    high=number.high,
                    zero_is_missing=number.zero_is_missing,
                )
            case Code() as code:
                return cls(name=name, kind="code", required=required, codes=dict(code.meanings))
            case _:
                raise TypeError(f"field {name!r} declares neither a Number nor a Code")


def _declaration(field: FieldInfo) -> object:
    # `Annotated[X, Number(...)]` keeps its metadata on the field, `Annotated[...] | None` inside.
    inside = [
        mark
        for part in get_args(field.annotation)
        if get_origin(part) is Annotated
        for mark in get_args(part)[1:]
    ]
    marks = [m for m in (*field.metadata, *inside) if isinstance(m, Number | Code)]
    return marks[0] if len(marks) == 1 else None
