"""JSON and NDJSON: rows as objects, each with names of its own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, BinaryIO, TypeVar

import numpy as np
from pydantic_core import from_json

from service.bulk.tables.chunks import AnswerColumns, Chunk, Column, Numbers
from service.bulk.tables.validation import extra_problem
from service.contract.fields import Feature
from service.contract.messages import echo
from service.errors import UnreadableTable

BLOCK = 2**17
"""Read at once. It is parsed without a break, and nothing else that is Python runs meanwhile."""
ENOUGH = 4_096
"""Objects scored at once: fewer than of a table, for each takes a kilobyte and more."""
MOST_BLOCKS = 32
"""Read before rows are scored, however few: objects take many times the memory of their text."""
MOST_SHAPES = 1000
LONGEST_ROW = 4 * 2**20
MOST_TRIES = 32
SPACE = b" \t\r\n"
BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r\n]*,")
T = TypeVar("T")

Object = dict[str, Any]
RowError = tuple[str, str, str]


@dataclass(frozen=True)
class ObjectColumn:
    """One field of some objects: numbers are numbers, and nothing else is (true is not 1)."""

    name: str
    values: Sequence[Any]
    objects: Sequence[Object]

    def numbers(self) -> Numbers:
        """Integers and floats as float64."""
        kinds = set(map(type, self.values))
        missing = None
        if type(None) in kinds:
            missing = np.array([value is None for value in self.values])
        if kinds <= {int, float, type(None)}:
            try:
                return Numbers(np.array(self.values, np.float64), missing)
            except OverflowError:  # an integer beyond the largest float
                pass
        return Numbers(np.array([_float(value) for value in self.values], np.float64), missing)

    def raw_value(self, row: int) -> str | None:
        """Return the value of a row as JSON, for a message; None if the row has none."""
        got = self.objects[row]
        return echo(got[self.name]) if self.name in got else None


def _float(value: object) -> float:
    if type(value) not in (int, float):
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type]  # a number by the line above
    except OverflowError:
        return np.nan


@dataclass(frozen=True)
class KeySet:
    """The names of an object: which are extras, and what is wrong with those."""

    passthrough: tuple[str, ...]
    problems: tuple[tuple[str, str], ...]


@dataclass
class KeySets:
    """The key sets of objects already looked at: most objects of a table have the same."""

    features: Sequence[Feature]
    answer: AnswerColumns
    _known: dict[tuple[str, ...], KeySet] = field(default_factory=dict)

    def of(self, row: Object) -> KeySet:
        """Return the key set of an object."""
        names = tuple(row)
        shape = self._known.get(names)
        if shape is None:
            if len(self._known) >= MOST_SHAPES:
                self._known.clear()
            shape = self._known[names] = self._look_at(names)
        return shape

    def _look_at(self, names: tuple[str, ...]) -> KeySet:
        fields = [feature.name for feature in self.features]
        others = [name for name in names if name not in fields]
        absent = [name for name in fields if name not in names]
        found = ((name, extra_problem(name, absent, self.answer)) for name in others)
        return KeySet(
            # The answer has each name once, its own.
            tuple(name for name in others if name not in self.answer.all),
            tuple((name, expected) for name, expected in found if expected),
        )


def read_ndjson(
    source: BinaryIO, features: Sequence[Feature], answer: AnswerColumns
) -> Iterator[Chunk]:
    """Yield rows of JSON objects, one a line; empty lines are skipped."""
    shapes = KeySets(features, answer)
    for lines in _enough(_lines(source)):
        yield _rows([_parsed(line) for line in lines], shapes)


def _lines(source: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the lines that are not empty, without their ends, some at a time."""
    rest = b""
    while block := source.read(BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > LONGEST_ROW:
            raise UnreadableTable(f"not NDJSON: a line is longer than {LONGEST_ROW:,} bytes")
        yield [line for line in whole if line.strip()]
    if rest.strip():
        yield [rest]


def _enough(parts: Iterator[list[T]]) -> Iterator[list[T]]:
    """Yield the same in parts of ENOUGH and more, or of MOST_BLOCKS blocks; at least one part."""
    waiting: list[T] = []
    blocks = 0
    for part in parts:
        waiting += part
        blocks += 1
        if len(waiting) >= ENOUGH or blocks >= MOST_BLOCKS:
            yield waiting
            waiting, blocks = [], 0
    yield waiting


class NotJson(str):
    """The reason why a line could not be parsed."""

    __slots__ = ()


def _parsed(line: bytes) -> object:
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return NotJson(str(error))


def read_json(
    source: BinaryIO, features: Sequence[Feature], answer: AnswerColumns
) -> Iterator[Chunk]:
    """Yield the rows of one JSON array of objects."""
    shapes = KeySets(features, answer)
    for parsed in _enough(_elements(source)):
        yield _rows(parsed, shapes)


def _elements(source: BinaryIO) -> Iterator[list[object]]:
    """Yield the elements of an array, some at a time, without holding all of its text."""
    rest = source.read(BLOCK).lstrip(SPACE)
    if rest[:1] != b"[":
        raise UnreadableTable(f"expected a JSON array of objects, got {_beginning(rest)}")
    rest = rest[1:]
    before = b"["  # what the rest is a continuation of
    while block := source.read(BLOCK):
        rest += block
        for end in _ends_of_objects(rest):
            # Inside a string or another element, something would be left open: this is JSON if
            # and only if the array has an element that ends here.
            if (elements := _array_or_none(b"[" + rest[: end.start() + 1] + b"]")) is not None:
                yield elements
                rest, before = rest[end.end() :], b"[null,"
                break
        if len(rest) > LONGEST_ROW:
            raise UnreadableTable(f"not JSON, or a row is longer than {LONGEST_ROW:,} bytes")
    try:
        parsed = from_json(before + rest, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableTable(f"not JSON: {error}") from error
    yield parsed[1:] if before != b"[" else parsed


def _ends_of_objects(text: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the last few offsets that look like the end of an element that is not the last one."""
    end = len(text)
    for _ in range(MOST_TRIES):
        end = text.rfind(b"}", 0, end)
        if end < 0:
            return
        if found := BETWEEN_OBJECTS.match(text, end):
            yield found


def _array_or_none(text: bytes) -> list[object] | None:
    try:
        return list(from_json(text, allow_inf_nan=False))
    except ValueError:
        return None


def _beginning(text: bytes) -> str:
    if not text:
        return "nothing"
    return "an object" if text[:1] == b"{" else echo(text[:20].decode(errors="replace"))


def _rows(parsed: list[object], shapes: KeySets) -> Chunk:
    objects: list[Object] = []
    row_errors: dict[int, list[RowError]] = {}
    unread: set[int] = set()
    passthrough: list[Object] = []
    for place, row in enumerate(parsed):
        if not isinstance(row, dict):
            got = f"not JSON: {row}" if isinstance(row, NotJson) else echo(row)
            row_errors[place] = [("row", "a JSON object", got)]
            unread.add(place)
            row = {}
        shape = shapes.of(row)
        objects.append(row)
        passthrough.append({name: row[name] for name in shape.passthrough})
        if shape.problems:
            row_errors[place] = [
                (name, expected, echo(row[name])) for name, expected in shape.problems
            ]
    columns = _columns([feature.name for feature in shapes.features], objects)
    return Chunk(len(objects), columns, passthrough, row_errors, frozenset(unread))


def _columns(names: list[str], objects: list[Object]) -> dict[str, Column]:
    if not objects:
        return {}
    try:
        # One name more, because of a single one itemgetter makes no tuple.
        cells = list(zip(*map(itemgetter(*names, names[0]), objects), strict=True))[:-1]
    except KeyError:  # some object lacks some field, which costs twice the time
        cells = [tuple([row.get(name) for row in objects]) for name in names]
    return {
        name: ObjectColumn(name, values, objects) for name, values in zip(names, cells, strict=True)
    }
