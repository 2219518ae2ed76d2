"""JSON and NDJSON: rows as objects, each with names of its own."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, BinaryIO, TypeVar

import numpy as np
from pydantic_core import from_json

from service.bulk.tables.chunks import Chunk, Column, Numbers
from service.bulk.tables.columns import (
    MOST_COLUMNS,
    ColumnMapping,
    TableReading,
    too_many_columns,
)
from service.contract.messages import echo
from service.contract.tables import plain_word
from service.errors import FieldProblem, UnreadableTable

BLOCK = 2**17
"""Read at once. It is parsed without a break, and nothing else that is Python runs meanwhile."""
ENOUGH = 4_096
"""Objects scored at once: fewer than of a table, for each takes a kilobyte and more."""
MOST_BLOCKS = 32
"""Read before rows are scored, however few: objects take many times the memory of their text."""
MOST_SHAPES = 1000
MOST_NAMES = 2**17
"""Names in the key sets that are remembered."""
LONGEST_ROW = 4 * 2**20
SPACE = b" \t\r\n"
BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r\n]*,")
OUTSIDE = re.compile(rb'["{}\[\]]')
"""Signs that count outside of a string."""
INSIDE = re.compile(rb'["\\]')
T = TypeVar("T")

Object = dict[str, Any]
RowError = tuple[str, str, str]


@dataclass(frozen=True)
class ObjectColumn:
    """One field of some objects: numbers are numbers, and nothing else is but words for codes.

    `names` are the names under which the objects have it, one for each.
    """

    values: Sequence[Any]
    objects: Sequence[Object]
    names: Sequence[str | None]

    def numbers(self, words: Mapping[str, float]) -> Numbers:
        """Integers and floats as float64, words for codes as these."""
        kinds = set(map(type, self.values))
        missing = None
        if type(None) in kinds:
            missing = np.array([value is None for value in self.values])
        if kinds <= {int, float, type(None)}:
            try:
                return Numbers(np.array(self.values, np.float64), missing)
            except OverflowError:  # an integer beyond the largest float
                pass
        if not words or not kinds & {str, bool}:
            values = [_float(value) for value in self.values]
            return Numbers(np.array(values, np.float64), missing)
        codes = [_code(value, words) for value in self.values]
        values = [
            _float(value) if code is None else code
            for value, code in zip(self.values, codes, strict=True)
        ]
        worded = np.array([code is not None for code in codes])
        return Numbers(np.array(values, np.float64), missing, worded)

    def is_worded(self) -> bool:
        """Return True if no value is a number."""
        return not {int, float} & set(map(type, self.values))

    def raw_value(self, row: int) -> str | None:
        """Return the value of a row as JSON, for a message; None if the row has none."""
        name = self.names[row]
        return None if name is None else echo(self.objects[row][name])


def _code(value: object, words: Mapping[str, float]) -> float | None:
    """Return the code that a value says in words; true and false are words too."""
    if type(value) is bool:
        return words.get(str(value).lower())
    return words.get(plain_word(value)) if type(value) is str else None


def _float(value: object) -> float:
    if type(value) not in (int, float):
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type]  # a number by the line above
    except OverflowError:
        return np.nan


@dataclass
class KeySets:
    """The key sets of objects already looked at: most objects of a table have the same."""

    reading: TableReading
    _known: dict[tuple[str, ...], ColumnMapping] = field(default_factory=dict)
    _doubts: dict[tuple[tuple[str, ...], ...], Sequence[FieldProblem]] = field(default_factory=dict)
    _names: int = 0

    def of(self, row: Object) -> ColumnMapping:
        """Return the mapping of an object's names. Raises InvalidPayload for too many in all."""
        names = tuple(row)
        mapping = self._known.get(names)
        if mapping is None:
            self._names += len(names)
            if len(self._known) >= MOST_SHAPES or self._names > MOST_NAMES:
                self._known.clear()
                self._names = len(names)
            mapping = self._known[names] = self.reading.mapping(names, whole=False)
            report = self.reading.report
            report.add_columns(mapping.mapped, mapping.unread)
            if (count := len(report.mapped) + len(report.unread)) > MOST_COLUMNS:
                raise too_many_columns(count)
        return mapping

    def doubts(self, row: Object, mapping: ColumnMapping) -> list[RowError]:
        """Return the problems of measurements that a row has and that no field is."""
        named = (*mapping.doubtful, *mapping.truths)
        found = {name: self.reading.held(name, [row[name]], mapping) for name in named}
        held = {name: what for name, what in found.items() if what}
        if not held:
            return []
        key = (tuple(held), mapping.absent)
        problems = self._doubts.get(key)
        if problems is None:  # names are compared with names, which takes milliseconds
            if len(self._doubts) >= MOST_SHAPES:
                self._doubts.clear()
            problems = self.reading.unread_problems(held, mapping.absent).problems
            self._doubts[key] = problems
        return [(p.field, p.expected, echo(row[p.field])) for p in problems]


def read_ndjson(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield rows of JSON objects, one a line; empty lines are skipped."""
    shapes = KeySets(reading)
    for lines in _enough(_lines(source), reading.chunk_rows):
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


def _enough(parts: Iterator[list[T]], most: int) -> Iterator[list[T]]:
    """Yield the same in parts of ENOUGH and more, or of MOST_BLOCKS blocks; at least one part.

    Parts have no more than `most` objects each.
    """
    waiting: list[T] = []
    blocks = 0
    for part in parts:
        waiting += part
        blocks += 1
        if len(waiting) >= min(ENOUGH, most) or blocks >= MOST_BLOCKS:
            while len(waiting) > most:
                yield waiting[:most]
                waiting = waiting[most:]
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


def read_json(source: BinaryIO, reading: TableReading) -> Iterator[Chunk]:
    """Yield the rows of one JSON array of objects."""
    shapes = KeySets(reading)
    for parsed in _enough(_elements(source), reading.chunk_rows):
        yield _rows(parsed, shapes)


def _elements(source: BinaryIO) -> Iterator[list[object]]:
    """Yield the elements of an array, some at a time, without holding all of its text."""
    rest = source.read(BLOCK).lstrip(SPACE)
    if rest[:1] != b"[":
        raise UnreadableTable(f"expected a JSON array of objects, got {_beginning(rest)}")
    rest = rest[1:]
    before = b"["  # what the rest is a continuation of
    ends = ElementEnds()
    while block := source.read(BLOCK):
        rest += block
        # Most rows have no objects inside: the last end of an object is one of a row.
        found = None if ends.place else _guessed(rest)
        if found is None and (end := ends.last(rest)) is not None:
            found = _elements_until(rest, *end)
            if found is None:
                break  # whoever parses all of it says what is wrong
        if found is not None:
            elements, rest = found
            yield elements
            before, ends = b"[null,", ElementEnds()
        if len(rest) > LONGEST_ROW:
            raise UnreadableTable(f"not JSON, or a row is longer than {LONGEST_ROW:,} bytes")
    try:
        parsed = from_json(before + rest, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableTable(f"not JSON: {error}") from error
    yield parsed[1:] if before != b"[" else parsed


def _guessed(text: bytes) -> tuple[list[object], bytes] | None:
    """Return the elements up to the last end of an object, and the text behind, if it is of one."""
    found = BETWEEN_OBJECTS.match(text, max(0, text.rfind(b"}", 0, text.rfind(b",") + 1)))
    return None if found is None else _elements_until(text, found.start() + 1, found.end())


def _elements_until(text: bytes, end: int, rest: int) -> tuple[list[object], bytes] | None:
    """Return the elements of an array up to `end`, and the text from `rest` on.

    Inside a string or another element, something would be left open: this is JSON if and only if
    the array has an element that ends here.
    """
    try:
        return list(from_json(b"[" + text[:end] + b"]", allow_inf_nan=False)), text[rest:]
    except ValueError:
        return None


@dataclass
class ElementEnds:
    """Where elements of an array end, in text that grows: each sign of it is looked at once."""

    place: int = 0
    """Everything before it has been looked at."""
    depth: int = 0
    in_string: bool = False

    def last(self, text: bytes) -> tuple[int, int] | None:
        """Return where the last element ends and where the next begins; None if none has ended."""
        ends = None
        while found := (INSIDE if self.in_string else OUTSIDE).search(text, self.place):
            sign, self.place = found[0], found.end()
            if sign == b"\\":
                self.place += 1  # whatever it is, it ends no string
            elif sign == b'"':
                self.in_string = not self.in_string
            elif sign in b"{[":
                self.depth += 1
            else:
                self.depth -= 1
                if not self.depth and (after := BETWEEN_OBJECTS.match(text, found.start())):
                    ends = found.end(), after.end()
        self.place = max(self.place, len(text))
        return ends


def _beginning(text: bytes) -> str:
    if not text:
        return "nothing"
    return "an object" if text[:1] == b"{" else echo(text[:20].decode(errors="replace"))


def _rows(parsed: list[object], shapes: KeySets) -> Chunk:
    objects: list[Object] = []
    mappings: list[ColumnMapping] = []
    row_errors: dict[int, list[RowError]] = {}
    unread: set[int] = set()
    passthrough: list[Object] = []
    taken = frozenset(shapes.reading.answer.all) if shapes.reading.options.keep == "all" else None
    for place, row in enumerate(parsed):
        if not isinstance(row, dict):
            got = f"not JSON: {row}" if isinstance(row, NotJson) else echo(row)
            row_errors[place] = [("row", "a JSON object", got)]
            unread.add(place)
            row = {}
        mapping = shapes.of(row)
        objects.append(row)
        mappings.append(mapping)
        if taken is None:
            passthrough.append({name: row[name] for name in mapping.unread})
        else:
            passthrough.append({name: row[name] for name in row if name not in taken})
        if mapping.problems or mapping.doubtful or mapping.truths:
            errors = [(p.field, p.expected, echo(row[p.field])) for p in mapping.problems]
            errors += shapes.doubts(row, mapping)
            if errors:
                row_errors[place] = errors
    columns = _columns(objects, mappings, shapes.reading)
    truth = _truth(objects, shapes.reading.options.truth)
    return Chunk(len(objects), columns, passthrough, row_errors, frozenset(unread), truth)


def _truth(objects: list[Object], name: str | None) -> ObjectColumn | None:
    """Return the column that says what became true, of rows that may lack it."""
    if name is None:
        return None
    names = [name if name in row else None for row in objects]
    return ObjectColumn([row.get(name) for row in objects], objects, names)


def _columns(
    objects: list[Object], mappings: list[ColumnMapping], reading: TableReading
) -> dict[str, Column]:
    if not objects:
        return {}
    fields = [feature.name for feature in reading.task.features]
    first, count = mappings[0], len(objects)
    if first.fields and all(mapping is first for mapping in mappings):
        columns = list(first.fields.values())
        # One name more, because of a single one itemgetter makes no tuple.
        cells = zip(*map(itemgetter(*columns, columns[0]), objects), strict=True)
        absent = ObjectColumn([None] * count, objects, [None] * count)
        found = {
            name: ObjectColumn(values, objects, [column] * count)
            for (name, column), values in zip(first.fields.items(), cells, strict=False)
        }
        return {name: found.get(name, absent) for name in fields}
    return {name: _column(name, objects, mappings) for name in fields}


def _column(name: str, objects: list[Object], mappings: list[ColumnMapping]) -> ObjectColumn:
    names = [mapping.fields.get(name) for mapping in mappings]
    values = [
        None if column is None else row[column] for row, column in zip(objects, names, strict=True)
    ]
    return ObjectColumn(values, objects, names)
