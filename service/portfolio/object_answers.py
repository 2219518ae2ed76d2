"""Answers as JSON and NDJSON: extra fields and answers in one object."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic_core import to_json

from service.portfolio.rows import Extras, Names, Scored
from service.predictions import CERTAINTIES


def as_objects(extras: Extras) -> list[dict[str, Any]]:
    """Extras as a list of dicts."""
    if isinstance(extras, list):
        return extras
    return list(extras.to_pylist()) if extras.num_columns else []


class NdjsonWriter:
    """Answers as JSON objects, one a line."""

    START, BETWEEN, END = b"", b"\n", b"\n"

    def __init__(self, sink: BinaryIO, names: Names) -> None:
        self._sink, self._names = sink, names
        self._empty = True

    def write(self, scored: Scored) -> None:
        """Some rows more."""
        rows = self.BETWEEN.join(_answers(scored, self._names))
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


def _answers(scored: Scored, names: Names) -> Iterator[bytes]:
    decided = f'"{names.decision}"'
    extras = as_objects(scored.extras)
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
        carried = extras[place] if extras else None
        if carried:
            yield to_json(carried, inf_nan_mode="null")[:-1] + b"," + text + b"}"
        else:
            yield b"{" + text + b"}"


NOT_JUDGED = ',"certainty":null,"in_distribution":null'


def _judged(scored: Scored) -> list[str]:
    """What is said of confidence in each row; nothing where the card does not."""
    if scored.decided is None or scored.familiar is None:
        return [""] * len(scored.probability)
    texts = [
        f',"certainty":"{certainty}","in_distribution":{familiar}'
        for certainty in CERTAINTIES
        for familiar in ("false", "true")
    ]
    return [texts[place] for place in (2 * scored.decided + scored.familiar).tolist()]
