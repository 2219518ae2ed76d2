"""Answers as JSON and NDJSON: extra fields and answers in one object."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic_core import PydanticSerializationError, from_json, to_json

from service.bulk.tables.chunks import AnswerColumns, PassthroughColumns, ScoredChunk
from service.contract.answers import CERTAINTIES
from service.contract.messages import echo
from service.errors import FieldProblem, InvalidPayload

NOT_JSON = (b"NaN", b"Infinity")
"""How numbers are written that JSON does not have."""


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

    def __init__(self, sink: BinaryIO, names: AnswerColumns) -> None:
        self._sink, self._names = sink, names
        self._empty = True

    def write(self, scored: ScoredChunk) -> None:
        """Some rows more. Raises InvalidPayload if JSON cannot hold their extra columns."""
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
        """What ends the format."""
        if not self._empty:
            self._sink.write(self.END)


class JsonWriter(NdjsonWriter):
    """Answers as one JSON array of objects."""

    START, BETWEEN, END = b"[", b",", b"]"

    def close(self) -> None:
        """What ends the format."""
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
    decided = f'"{names.decision}"'
    errors = scored.errors or [None] * len(scored.probability)
    values = zip(
        scored.probability.tolist(), scored.decision.tolist(), _judged(scored), errors, strict=True
    )
    for place, (probability, decision, judged, error) in enumerate(values):
        bad = probability != probability  # NaN
        text = (
            f'"probability":{"null" if bad else repr(probability)},'
            f"{decided}:{'null' if bad else 'true' if decision else 'false'}"
            f"{NOT_JUDGED if bad and judged else judged}"
        ).encode()
        if names.errors:
            text += b',"error":' + to_json(error)
        carried = passthrough[place] if passthrough else None
        if carried:
            yield to_json(carried, inf_nan_mode="constants")[:-1] + b"," + text + b"}"
        else:
            yield b"{" + text + b"}"


NOT_JUDGED = ',"certainty":null,"in_distribution":null'


def _judged(scored: ScoredChunk) -> list[str]:
    """What is said of confidence in each row; nothing where the card does not."""
    if scored.decided is None or scored.familiar is None:
        return [""] * len(scored.probability)
    texts = [
        f',"certainty":"{certainty}","in_distribution":{familiar}'
        for certainty in CERTAINTIES
        for familiar in ("false", "true")
    ]
    return [texts[place] for place in (2 * scored.decided + scored.familiar).tolist()]
