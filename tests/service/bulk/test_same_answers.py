"""One table in many guises: whatever its form, names, coding and format, the answers are the same.

Answers are compared bit for bit with those to plain CSV of the same rows in the same order.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.app import create_app
from service.bulk.tables.header import is_nothing
from service.contract.fields import Feature
from service.contract.tabular import TabularTask
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.service.bulk.test_conventions import MODELS
from tests.service.bulk.test_tables import ARROW, CSV, JSON, NDJSON, PARQUET, arrow, parquet
from tests.waiting import wait_until

TASK_NAMES = ("heart", "credit")
DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": lambda body: bytes(pa.compress(body, "zstd", asbytes=True)),
}
WORD = "Müller"
"""Carried through in every table, so that encodings differ."""
EXAMPLES = 100


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The committed models."""
    with TestClient(create_app(Settings(models_dir=MODELS, device="cpu"))) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


def cells_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Return the values that a field may have, None for not recorded where it may be."""
    if feature.codes:
        values: st.SearchStrategy[Any] = st.sampled_from(sorted(feature.codes))
    else:
        assert feature.low is not None
        assert feature.high is not None
        low, high = int(feature.low), int(feature.high)
        # Halves and tenths, as people write them; never one that reads as thousands.
        values = st.integers(low, high) | st.integers(low * 10, high * 10).map(lambda n: n / 10)
    return values if feature.required else st.none() | values


Row = dict[str, Any]


@st.composite
def tables(draw: st.DrawFn, task: TabularTask) -> list[Row]:
    """Draw one to six rows, their fields in the contract's order."""
    cells = st.tuples(*[cells_of(feature) for feature in task.features])
    names = [feature.name for feature in task.features]
    drawn = draw(st.lists(cells, min_size=1, max_size=6))
    return [dict(zip(names, row, strict=True)) for row in drawn]


def spelled(draw: st.DrawFn, task: TabularTask, name: str) -> str:
    """Draw a name of a field: its own or an alias, in any case and spacing."""
    alias = draw(st.sampled_from([name, *task.tables.aliases.get(name, ())]))
    case = draw(st.sampled_from([str.lower, str.upper, str.title, str.swapcase]))
    between = draw(st.sampled_from([" ", "_", "-", "."]))
    return case(alias).replace(" ", between)


def in_coding(draw: st.DrawFn, task: TabularTask, rows: list[Row]) -> tuple[list[Row], str]:
    """Draw a declared coding that has a code for every value; return the rows in it."""
    fitting = []
    for coding in task.tables.codings:
        back = {
            name: {ours: theirs for theirs, ours in codes.items()}
            for name, codes in coding.codes.items()
        }
        if all(row[name] is None or row[name] in back[name] for row in rows for name in back):
            fitting.append((coding.name, back))
    if not fitting or draw(st.booleans()):
        return rows, task.tables.coding
    chosen, back = draw(st.sampled_from(fitting))
    recoded = [
        {
            name: back[name][cell] if name in back and cell is not None else cell
            for name, cell in row.items()
        }
        for row in rows
    ]
    return recoded, chosen


def in_words(draw: st.DrawFn, task: TabularTask, rows: list[Row]) -> list[Row]:
    """Draw fields whose codes are written in words: meanings, or the files' own words."""
    words: dict[str, dict[int, list[str]]] = {}
    for feature in task.features:
        meanings = list(feature.codes.values())
        by_code: dict[int, list[str]] = {
            code: [text]
            for code, text in feature.codes.items()
            if meanings.count(text) == 1 and not is_nothing(text)
        }
        for word, code in task.tables.words.get(feature.name, {}).items():
            by_code.setdefault(code, []).append(word)
        used = {row[feature.name] for row in rows} - {None}
        if by_code and used <= set(by_code) and draw(st.booleans()):
            words[feature.name] = by_code
    case = draw(st.sampled_from([str.lower, str.upper, str.title]))
    return [
        {
            name: case(draw(st.sampled_from(words[name][cell])))
            if name in words and cell is not None
            else cell
            for name, cell in row.items()
        }
        for row in rows
    ]


def as_text(rows: list[Row], delimiter: str, comma: bool, nothing: str) -> str:
    """Return rows as CSV; numbers have a decimal comma on demand."""

    def cell(value: Any) -> str:
        if value is None:
            return nothing
        if comma and isinstance(value, float):
            return str(value).replace(".", ",")
        return str(value)

    lines = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    quoted = [[f'"{each}"' if delimiter in each else each for each in line] for line in lines]
    return "".join(delimiter.join(line) + "\n" for line in quoted)


def written(draw: st.DrawFn, rows: list[Row]) -> tuple[str, bytes]:
    """Draw a format, and in text its form; return the content type and the body."""
    media = draw(st.sampled_from([CSV, CSV, CSV, NDJSON, JSON, ARROW, PARQUET]))
    if media in (ARROW, PARQUET):
        table = pa.table({name: typed([row[name] for row in rows]) for name in rows[0]})
        return media, arrow(table) if media == ARROW else parquet(table)
    encoding = draw(st.sampled_from(ENCODINGS))
    if media == CSV:
        delimiter = draw(st.sampled_from(DELIMITERS))
        nothing = draw(st.sampled_from(["", "NA", "?", "NaN"]))
        body = as_text(rows, delimiter, delimiter == ";", nothing)
    else:
        objects = [json.dumps(row, ensure_ascii=False) for row in rows]
        body = "\n".join(objects) if media == NDJSON else "[" + ", ".join(objects) + "]"
    pack = COMPRESSIONS[draw(st.sampled_from(sorted(COMPRESSIONS)))]
    return media, pack(body.encode(encoding))


def typed(cells: list[Any]) -> Any:
    """Return a column of Arrow: of numbers where all are, else of text."""
    if any(isinstance(cell, str) for cell in cells):
        return pa.array(cells, pa.string())
    return pa.array(cells, pa.float64())


@dataclass(frozen=True)
class Guise:
    """A table, and another way to write it."""

    rows: list[Row]
    coding: str
    media: str
    body: bytes


@st.composite
def guises(draw: st.DrawFn, task: TabularTask) -> Guise:
    """Draw a table and a way to write it."""
    plain = draw(tables(task))
    rows, coding = in_coding(draw, task, plain)
    rows = in_words(draw, task, rows) if coding == task.tables.coding else rows
    columns = draw(st.permutations(list(rows[0])))
    names = {column: spelled(draw, task, column) for column in columns}
    disguised = [
        {"name": WORD} | {names[column]: row[column] for column in columns} for row in rows
    ]
    return Guise(plain, coding, *written(draw, disguised))


def answers(client: TestClient, path: str, media: str, body: bytes) -> list[dict[str, Any]]:
    """Return the rows of an answer that has to be a good one."""
    headers = {"content-type": media, "accept": NDJSON}
    answer = client.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_no_guise_of_a_table_changes_an_answer(client: TestClient, name: str) -> None:
    """Names by alias, columns in any order, codings, words, encodings, delimiters, compression."""
    task = TASKS[name]
    assert isinstance(task, TabularTask)
    path = f"/v1/{name}/predict/batch"

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(guises(task))
    def hold(guise: Guise) -> None:
        wanted = answers(client, f"{path}?coding={task.tables.coding}", CSV, plain_csv(guise.rows))
        got = answers(client, f"{path}?coding={guise.coding}", guise.media, guise.body)
        assert [row.pop("name") for row in got] == [WORD] * len(got)
        assert got == wanted

    hold()


def plain_csv(rows: list[Row]) -> bytes:
    """Return rows as CSV of commas in UTF-8, under the fields' own names."""
    return as_text(rows, ",", comma=False, nothing="").encode()


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_order_of_rows_changes_no_answer(client: TestClient, name: str) -> None:
    """But for the last digits of a float32, for rows of a batch are summed in groups."""
    task = TASKS[name]
    assert isinstance(task, TabularTask)
    path = f"/v1/{name}/predict/batch?coding={task.tables.coding}"

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def hold(data: st.DataObject) -> None:
        rows = data.draw(tables(task))
        order = data.draw(st.permutations(range(len(rows))))
        before = answers(client, path, CSV, plain_csv(rows))
        after = answers(client, path, CSV, plain_csv([rows[place] for place in order]))
        found = [row["probability"] for row in after]
        assert found == pytest.approx([before[place]["probability"] for place in order], abs=1e-6)

    hold()
