"""Answers as JSON and NDJSON: extra fields and answers in one object."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticSerializationError, from_json, to_json

from service.bulk.tables.chunks import AnswerColumns, PassthroughColumns, ScoredChunk, texts_of
from service.bulk.tables.columns import TableReading
from service.contract.messages import echo
from service.contract.rows import AnswerColumn
from service.errors import FieldProblem, InvalidPayload

NOT_JSON = (b"NaN", b"Infinity")
"""Spellings of numbers that JSON does not have."""


def as_objects(passthrough: PassthroughColumns) -> list[dict[str, Any]]:
    """Extras as a list of dicts."""
    if isinstance(passthrough, list):
        return passthrough
    # PyArrow is loaded already where a table came, and not at all where objects did.
    from service.bulk.tables import arrow_cells

    return arrow_cells.as_objects(passthrough)


class NdjsonWriter:
    """Answers as JSON objects, one a line."""

    START, BETWEEN, END = b"", b"\n", b"\n"

    def __init__(self, sink: BinaryIO, reading: TableReading) -> None:
        self._sink, self._reading, self._names = sink, reading, reading.answer
        self._empty = True

    def write(self, scored: ScoredChunk) -> None:
        """Write a chunk. Raises InvalidPayload if JSON cannot hold its pass-through columns."""
        passthrough = as_objects(scored.passthrough)
        try:
            rows = self.BETWEEN.join(_answers(scored, passthrough, self._names))
        except PydanticSerializationError:  # bytes that are no text
            _check(passthrough)
            raise
        if any(number in rows for number in NOT_JSON):
            _check(passthrough)
        if rows:
            self._sink.write((self.START if self._empty else self.BETWEEN) + rows)
            self._empty = False

    def close(self) -> None:
        """Write the end of the format, and the record of the end where it was asked for."""
        if not self._empty:
            self._sink.write(self.END)
        if self._reading.options.end == "count":
            self._sink.write(to_json({"end": self._reading.report.facts()}) + b"\n")


class JsonWriter(NdjsonWriter):
    """Answers as one JSON array of objects."""

    START, BETWEEN, END = b"[", b",", b"]"

    def close(self) -> None:
        """Write the end of the format."""
        self._sink.write(b"[]" if self._empty else self.END)


def _check(passthrough: list[dict[str, Any]]) -> None:
    """Raise InvalidPayload for the first value that JSON does not have; words of text it has."""
    for row in passthrough:
        for name, value in row.items():
            try:
                from_json(to_json(value, inf_nan_mode="constants"), allow_inf_nan=False)
            except ValueError as error:
                expected = "finite numbers and text in UTF-8, which is what JSON can hold"
                raise InvalidPayload([FieldProblem(name, expected, echo(value))]) from error


def _answers(
    scored: ScoredChunk, passthrough: list[dict[str, Any]], names: AnswerColumns
) -> Iterator[bytes]:
    for place, text in enumerate(_texts(scored, names)):
        carried = passthrough[place] if passthrough else None
        if carried:
            yield to_json(carried, inf_nan_mode="constants")[:-1] + b"," + text + b"}"
        else:
            yield b"{" + text + b"}"


def _texts(scored: ScoredChunk, names: AnswerColumns) -> Iterator[bytes]:
    """Yield the answer to each row, without the braces around it."""
    parts: list[list[str]] = []
    columns = zip(names.columns, scored.values, strict=True)
    for chosen, group in groupby(columns, key=lambda each: bool(each[0].choices)):
        side_by_side = list(group)
        parts += [_choices(side_by_side)] if chosen else [_numbers(*each) for each in side_by_side]
    nothing = ",".join(f'"{column.name}":null' for column in names.columns)
    answers = zip(map(",".join, zip(*parts, strict=True)), scored.bad.tolist(), strict=True)
    rows = ((nothing if bad else text).encode() for text, bad in answers)
    if not names.texts:
        yield from rows
        return
    keys = [b',"%b":' % name.encode() for name in names.texts]
    for row, *texts in zip(rows, *texts_of(scored), strict=True):
        told = (key + to_json(text) for key, text in zip(keys, texts, strict=True))
        yield row + b"".join(told)


def _numbers(column: AnswerColumn, values: NDArray[Any]) -> list[str]:
    return [f'"{column.name}":{value!r}' for value in values.tolist()]


def _choices(columns: list[tuple[AnswerColumn, NDArray[Any]]]) -> list[str]:
    """Return several columns of choices, side by side: each combination is written once."""
    texts, place = [""], np.zeros(len(columns[0][1]), np.int64)
    for column, values in columns:
        words = [f'"{column.name}":{to_json(choice).decode()}' for choice in column.choices]
        texts = [f"{text},{word}" if text else word for text in texts for word in words]
        place = place * len(words) + values
    return [texts[each] for each in place.tolist()]
