"""One contract, two ways to apply it: to a row by its payload, to columns by `check`.

The two differ in what only tables have, which has tests of its own here and in test_conventions:
words for codes, and cells of text that say that nothing was recorded.
"""

import io
import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from service.bulk.tables import json_reader
from service.bulk.tables.chunks import AnswerColumns
from service.bulk.tables.columns import TableReading
from service.bulk.tables.formats import ARROW, CSV, JSON, NDJSON, Format
from service.bulk.tables.options import TableOptions
from service.bulk.tables.report import TableReport
from service.bulk.tables.validation import check
from service.contract.answers import TabularPrediction
from service.contract.fields import Code, Number, Payload
from service.contract.messages import invalid_payload
from service.contract.tabular import TabularTask
from service.errors import UnreadableTable
from service.tasks import TASKS


class Row(Payload):
    """A field of every kind there is."""

    height: Annotated[float, Number("cm", 50, 250)] = Field(description="Height")
    sex: Annotated[int, Code({0: "female", 1: "male"})] = Field(description="Sex")
    weight: Annotated[float, Number("kg", 2, 400, zero_is_missing=True)] | None = None
    change: Annotated[float, Number("kg", -0.1, 0.3, zero_is_missing=True)] | None = None
    grade: Annotated[int, Code({-2: "low", 3: "mid", 9: "top"})] | None = None


class Answer(TabularPrediction):
    """Made up."""

    tall: bool


TASK = TabularTask(name="row", title="Row", payload=Row, prediction=Answer, decision="tall")
NAMES = AnswerColumns(TASK.answer_columns(confidence=False), errors=False)
FIELDS = [feature.name for feature in TASK.features]

numbers = (
    st.sampled_from([0, 0.0, -0.0, 1, 1.0, 2, 50, 250, 250.00000000000003, 49.99999999999999])
    | st.sampled_from([-2, 3, 9, 3.5, -0.1, 0.3, -0.10000000000000002, 400, 10**30, -(10**400)])
    | st.floats()
    | st.integers()
    | st.floats(-1, 260)
)
values = (
    numbers | st.none() | st.booleans() | st.sampled_from(["1", "", "x", [], [1], {}, {"a": 1}])
)
rows = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, values))
good = st.fixed_dictionaries(
    {"height": st.floats(50, 250), "sex": st.sampled_from([0, 1, 1.0])},
    optional=dict.fromkeys(["weight", "change", "grade"], values),
)


def reading() -> TableReading:
    """Return the way in which a table of the task is read without any options."""
    return TableReading(TASK, NAMES, TableOptions(), TableReport(tuple(FIELDS)))


def one_by_one(rows: Sequence[dict[str, Any]]) -> tuple[list[set[tuple[str, ...]]], NDArray[Any]]:
    """Validate row by row with the payload: problems (field, expected, got), and the array."""
    adapter = TypeAdapter(TASK.payload)
    problems: list[set[tuple[str, ...]]] = []
    arrays = []
    for row in rows:
        try:
            arrays.append(TASK.to_array([adapter.validate_python(row)])[0])
            problems.append(set())
        except ValidationError as error:
            found = invalid_payload(error.errors(include_url=False), FIELDS).problems
            problems.append({(p.field, p.expected, p.got) for p in found})
            arrays.append(np.full(len(FIELDS), np.nan, np.float32))
    return problems, np.array(arrays, np.float32).reshape(len(rows), len(FIELDS))


def all_at_once(form: Format, table: bytes) -> tuple[list[set[tuple[str, ...]]], NDArray[Any]]:
    """Validate all rows at once with `check`."""
    problems: list[set[tuple[str, ...]]] = []
    arrays = []
    table_reading = reading()
    for part in form.read(io.BytesIO(table), table_reading):
        checked = check(table_reading.rules, part)
        first = len(problems) + 1
        problems += [set() for _ in range(part.count)]
        listed = list(checked.problems(first))
        assert len(listed) == checked.count
        for p in listed:
            problems[p.row - 1].add((p.field, p.expected, p.got))
        checked.array[checked.bad] = np.nan
        arrays.append(checked.array)
    return problems, np.concatenate(arrays)


def assert_alike(form: Format, table: bytes, as_payloads: Sequence[dict[str, Any]]) -> None:
    wanted, wanted_array = one_by_one(as_payloads)
    got, array = all_at_once(form, table)
    assert got == wanted
    np.testing.assert_array_equal(array, wanted_array)


def jsonable(value: object) -> bool:
    """Return True if JSON can hold a value: no NaN, no infinity, no integer too long to print."""
    return not (isinstance(value, float) and not math.isfinite(value))


@given(st.lists(rows | good, max_size=8))
@example([{"height": 10**30, "sex": 1}, {"height": 100, "sex": 1}])
@example([{"height": 100, "sex": True, "weight": 0, "grade": 3.0}])
def test_json_rows_fare_as_they_do_one_by_one(table: list[dict[str, Any]]) -> None:
    """The same rows are good, with the same numbers; the same fields are bad, in the same words."""
    table = [{name: v for name, v in row.items() if jsonable(v)} for row in table]
    read_back = json.loads(json.dumps(table))
    assert_alike(JSON, json.dumps(table).encode(), read_back)
    lines = "\n".join(json.dumps(row) for row in table)
    assert_alike(NDJSON, lines.encode(), read_back)


KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (pa.float64(), st.floats() | st.floats(-1, 260)),
    (pa.float32(), st.floats(width=32) | st.sampled_from([0.0, 1.0, 50.0, 250.0, -2.0])),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 260)),
    (pa.uint64(), st.integers(0, 2**64 - 1) | st.integers(0, 10)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.sampled_from(["1", "", "x", "100"])),
    (pa.null(), st.none()),
]


@st.composite
def arrow_columns(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(0, 8))
    columns = {}
    for name in FIELDS:
        if name not in ("height", "sex") and draw(st.booleans()):
            continue
        kind, cells = draw(st.sampled_from(KINDS))
        some = draw(st.lists(cells | st.none(), min_size=count, max_size=count))
        columns[name] = pa.array(some, kind)
    return columns


@given(arrow_columns())
def test_arrow_columns_fare_as_their_rows_do(columns: dict[str, Any]) -> None:
    """Integers and floats are numbers in any Arrow type, booleans and text never, null is null."""
    table = pa.table(columns)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, 3)
    assert_alike(ARROW, stream.getvalue(), table.to_pylist())


NOTHINGS = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", ".")


def as_csv_means(text: str) -> Any:
    """Return a CSV cell as a JSON value, worked out with Python's own float."""
    text = text.strip(" ")
    if text.lower() in NOTHINGS:
        return None
    plain = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII)
    return float(text) if plain else text


cells = (
    st.text("0123456789+-.eE xnaif", max_size=6)
    | numbers.map(str)
    | st.sampled_from(
        ["", " ", "nan", "NaN", "inf", "1e5", ".5", "5.", "1_0", "0x1", "007", "true", *NOTHINGS]
    )
)


@given(st.lists(st.tuples(*[cells] * len(FIELDS)), max_size=8))
@example([("1e5", "+1", " 70 ", "", "3.0"), ("100", "1", "", "", "")])
def test_csv_cells_fare_as_the_numbers_they_read_as(table: list[tuple[str, ...]]) -> None:
    """Text that reads as a number is that number, an empty cell is null, all else is bad.

    So are cells such as NA, NaN and ?, which files have for not recorded. Empty rows are none.
    """
    lines = [",".join(FIELDS), *(",".join(row) for row in table)]
    got, array = all_at_once(CSV, "\n".join([*lines, ""]).encode())
    filled = [row for row in table if any(row)]
    read = [dict(zip(FIELDS, map(as_csv_means, row), strict=True)) for row in filled]
    wanted, wanted_array = one_by_one(read)
    bare = [{(field, expected) for field, expected, _ in problems} for problems in got]
    assert bare == [{(field, expected) for field, expected, _ in problems} for problems in wanted]
    np.testing.assert_array_equal(array, wanted_array)


class Walked(list[str]):
    """Names that can only be gone through: a search of all for each would be quadratic."""

    def count(self, value: str, /) -> int:
        """Never."""
        raise AssertionError(f"{value} is counted by itself")

    def __contains__(self, value: object, /) -> bool:
        raise AssertionError(f"{value} is looked for by itself")


def test_a_table_may_have_very_many_columns() -> None:
    """Its names are counted once, all together."""
    names = Walked([*FIELDS, "x", "x", "Tall", "tall"])
    problems = reading().mapping(names, whole=True).problems
    assert [(p.field, p.got) for p in problems] == [("x", "2"), ("tall", "a column")]


@pytest.mark.parametrize("task", [t for t in TASKS.values() if isinstance(t, TabularTask)])
def test_words_for_what_is_expected_have_one_home(task: TabularTask) -> None:
    """A feature expects the same words that its payload's field uses in an error."""
    for feature in task.features:
        with pytest.raises(ValidationError) as refused:
            TypeAdapter(task.payload).validate_python({feature.name: "x"})
        (error,) = [e for e in refused.value.errors() if e["loc"] == (feature.name,)]
        assert error["ctx"]["expected"] == feature.expected


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-5, 5) | st.text('}{,[]"\\ \nx', max_size=6),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text('}{,"x', max_size=3), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=12,
    ),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
    st.data(),
)
def test_an_array_of_json_is_the_same_in_parts(
    elements: list[Any], block: int, indent: int | None, data: st.DataObject
) -> None:
    """Wherever a block ends, in a string or deep inside; and what is no JSON never becomes one."""
    text = json.dumps(elements, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "BLOCK", block)
        parts = list(json_reader._elements(io.BytesIO(text)))
        assert [element for part in parts for element in part] == elements
        place = data.draw(st.integers(0, len(text)))
        damaged = (
            text[:place]
            + data.draw(st.sampled_from([b"", b",", b"}", b'"', b"]"]))
            + (text[place + 1 :])
        )
        try:
            wanted = from_json(damaged, allow_inf_nan=False)
        except ValueError:
            wanted = None
        if not isinstance(wanted, list):
            with pytest.raises(UnreadableTable):
                list(json_reader._elements(io.BytesIO(damaged)))
        else:
            parts = list(json_reader._elements(io.BytesIO(damaged)))
            assert [element for part in parts for element in part] == wanted
