"""Whole tables by HTTP: five formats in and out, good rows and bad ones."""

import csv
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import python_calamine
import xlsxwriter
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.bulk.tables import formats
from service.bulk.tables.chunks import CHUNK_ROWS
from service.bulk.tables.formats import BY_MEDIA
from service.bulk.tables.json_reader import ENOUGH
from service.bulk.tables.options import NAMES
from service.contract.messages import MOST_PROBLEMS
from service.contract.tabular import TabularTask
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.service.api.test_predict import ROWS, example
from tests.service.test_isolation import loaded_after
from tests.waiting import wait_until

MEDIA = list(BY_MEDIA)
CSV, ARROW = "text/csv", "application/vnd.apache.arrow.stream"
JSON, NDJSON = "application/json", "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
TSV, EXCEL = formats.TSV.media, formats.EXCEL.media
OBJECTS = (JSON, NDJSON)
UNTYPED = (CSV, TSV)
HEART = "/v1/heart/predict/batch"
CARRIED = f"{HEART}?ignore=*"
"""For tables with numbers in other columns, which are refused unless they are said to be none."""
GOOD = {"age": 60, "sex": 1}
PARTS = 4 * ENOUGH
"""So many rows of JSON are scored in several parts."""


def encoded(media: str, rows: list[dict[str, Any]]) -> bytes:
    """Rows in a format; in a table, a row that lacks a column has null there."""
    if media == JSON:
        return json.dumps(rows).encode()
    if media == NDJSON:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    names = list(dict.fromkeys(name for row in rows for name in row))
    if media in UNTYPED:
        text = io.StringIO()
        writer = csv.DictWriter(text, names, delimiter="\t" if media == TSV else ",")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if media == EXCEL:
        return excel([names, *([row.get(name) for name in names] for row in rows)])
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    return arrow(table) if media == ARROW else parquet(table)


def arrow(table: Any) -> bytes:
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, 1000)
    return stream.getvalue()


def parquet(table: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def excel(
    rows: list[list[Any]], *, first: int = 0, errors: Mapping[str, str] | None = None
) -> bytes:
    """Return a workbook of a sheet, its first cell at (`first`, `first`), with `errors`."""
    file = io.BytesIO()
    workbook = xlsxwriter.Workbook(file, {"in_memory": True})
    sheet = workbook.add_worksheet()
    for place, row in enumerate(rows):
        for column, cell in enumerate(row):
            if cell is not None:
                sheet.write(first + place, first + column, cell)
    for cell, error in (errors or {}).items():
        sheet.write_formula(cell, "=1", None, error)
    workbook.close()
    return file.getvalue()


def decoded(media: str, answer: bytes) -> list[dict[str, Any]]:
    """The rows of an answer, as Python has them."""
    if media == JSON:
        return list(json.loads(answer))
    if media == NDJSON:
        return [json.loads(line) for line in answer.splitlines()]
    if media == EXCEL:
        sheet = python_calamine.load_workbook(io.BytesIO(answer)).get_sheet_by_index(0)
        names, *lines = sheet.to_python()
        cells = [[None if cell == "" else cell for cell in line] for line in lines]
        return [dict(zip(map(str, names), line, strict=True)) for line in cells]
    if media in UNTYPED:
        separator = "\t" if media == TSV else ","
        rows = list(csv.DictReader(io.StringIO(answer.decode()), delimiter=separator))
        return [
            row
            | {
                name: None if cell == "" else json.loads(cell)
                for name, cell in row.items()
                if name in ("probability", "disease", "default")
            }
            for row in rows
        ]
    if media == ARROW:
        return list(pa.ipc.open_stream(answer).read_all().to_pylist())
    return list(pq.read_table(io.BytesIO(answer)).to_pylist())


def post(client: TestClient, media: str, body: bytes, path: str = HEART, **headers: str) -> Any:
    return client.post(path, content=body, headers={"content-type": media} | headers)


@pytest.mark.parametrize("wanted", MEDIA)
@pytest.mark.parametrize("given", MEDIA)
@pytest.mark.parametrize("task", ROWS, ids=lambda t: t.name)
def test_any_format_is_answered_in_any(
    client: TestClient, task: TabularTask, given: str, wanted: str
) -> None:
    """Each row has the probability and decision that it has by itself, to the last digit."""
    rows = [example(task) | {"account": f"00{n}", "age": 30 + n} for n in range(5)]
    answer = post(
        client, given, encoded(given, rows), f"/v1/{task.name}/predict/batch", accept=wanted
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == wanted
    assert answer.headers["x-model"] == f"{task.name}/1"
    expected = []
    for row in rows:
        one = {name: value for name, value in row.items() if name != "account"}
        alone = client.post(f"/v1/{task.name}/predict", json=one).json()
        kept = {"account": row["account"], "probability": alone["probability"]}
        expected.append(kept | {task.decision: alone[task.decision]})
        assert float(answer.headers["x-threshold"]) == alone["threshold"]
    assert decoded(wanted, answer.content) == expected


@pytest.mark.parametrize("media", MEDIA)
def test_rows_of_many_parts_come_back_in_their_order(client: TestClient, media: str) -> None:
    """More rows than are scored at once, in columns of another order than the contract's."""
    count = 2 * CHUNK_ROWS + 7
    rows = [{"id": n, "sex": n % 2, "age": 18 + n % 100} for n in range(count)]
    answer = decoded(media, post(client, media, encoded(media, rows)).content)
    assert [int(row["id"]) for row in answer] == list(range(count))
    weights = 0.01 * np.array([1, 2])
    sums = np.array([[row["age"], row["sex"]] for row in rows]) @ weights
    np.testing.assert_allclose(
        [row["probability"] for row in answer], 1 / (1 + np.exp(-sums)), atol=1e-6
    )


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("spelling", [{}, {"chol": None}, {"chol": 0}, {"chol": 0.0}])
def test_not_recorded_is_no_column_null_or_the_datas_zero(
    client: TestClient, media: str, spelling: dict[str, Any]
) -> None:
    """All ways of saying that cholesterol was not measured mean the same, in every format."""
    alone = client.post("/v1/heart/predict", json=GOOD).json()
    answer = post(client, media, encoded(media, [GOOD | spelling]))
    (row,) = decoded(media, answer.content)
    assert row == {name: alone[name] for name in ("probability", "disease")}


@pytest.mark.parametrize("media", [CSV, ARROW, PARQUET, JSON, NDJSON])
def test_no_rows_are_no_error(client: TestClient, media: str) -> None:
    """An empty book has an empty answer, with its columns where a format has them."""
    table = pa.table({"account": pa.array([], pa.string()), "age": pa.array([], pa.int8())})
    table = table.append_column("sex", pa.array([], pa.null()))
    bodies = {CSV: b"account,age,sex\n", ARROW: arrow(table), PARQUET: parquet(table)}
    answer = post(client, media, bodies.get(media, encoded(media, [])))
    assert answer.status_code == 200
    assert decoded(media, answer.content) == []
    if media == CSV:
        assert answer.text == "account,probability,disease\n"
    assert post(client, media, bodies.get(media, encoded(media, [])), accept=ARROW).is_success


def test_extra_columns_of_csv_come_back_as_they_were(client: TestClient) -> None:
    """Leading zeros, digits beyond any integer, commas, quotes, line ends, spaces, empty cells."""
    passthrough = [
        "007",
        "1" * 40,
        "a,b",
        'say "x"',
        "two\nlines",
        " x ",
        "",
        "1.10",
        "NaN",
        "true",
        "ü",
    ]
    rows = [GOOD | {"weird, name": extra} for extra in passthrough]
    answer = post(client, CSV, encoded(CSV, rows))
    assert [row["weird, name"] for row in decoded(CSV, answer.content)] == passthrough
    assert '"007"' not in answer.text


def test_extra_fields_of_json_come_back_as_they_were(client: TestClient) -> None:
    """Whatever JSON can hold, each object with its own."""
    passthrough: list[dict[str, Any]] = [
        {"id": 12345678901234567890123},
        {"note": {"a": [1, None, "ü\n"]}},
        {},
        {"id": "x", "ok": True, "rate": 1.1},
    ]
    rows = [GOOD | extra for extra in passthrough]
    answer = post(client, JSON, encoded(JSON, rows), f"{HEART}?ignore=rate&ignore=ok")
    names = ("probability", "disease")
    back = [{k: v for k, v in row.items() if k not in names} for row in answer.json()]
    assert back == passthrough


@pytest.mark.parametrize("wanted", [CSV, ARROW, PARQUET])
def test_objects_that_make_no_columns_are_refused(client: TestClient, wanted: str) -> None:
    """An extra field of several types, or of a type that CSV has no way to write."""
    rows: list[dict[str, Any]] = [GOOD | {"id": 1}, GOOD | {"id": "x"}]
    answer = post(client, JSON, encoded(JSON, rows), accept=wanted)
    assert answer.status_code == 422
    if wanted == CSV:
        assert post(client, JSON, encoded(JSON, [GOOD | {"n": [1]}]), accept=CSV).status_code == 422


LATER: list[tuple[Any, Any]] = [
    (29998, "0029999"),
    (True, 7),
    (1, True),
    (1.5, "1e3"),
    (1.5, True),
    (1, 2.0),
    (1.5, 2**53 + 1),
    ([1], ["2"]),
    ([1.5], [True]),
    ({"a": 1}, {"b": 1}),
    ({"a": 1.5}, {"a": True}),
]


@pytest.mark.parametrize("wanted", [CSV, ARROW, PARQUET])
@pytest.mark.parametrize(("first", "later"), LATER)
def test_what_later_objects_hold_never_becomes_another_value(
    client: TestClient, wanted: str, first: Any, later: Any
) -> None:
    """A column's type is that of the rows scored first; what does not fit in is refused."""
    rows = [*[GOOD | {"x": first}] * PARTS, GOOD | {"x": later}]
    answer = post(client, NDJSON, encoded(NDJSON, rows), CARRIED, accept=wanted)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "x"


@pytest.mark.parametrize("wanted", [CSV, ARROW, PARQUET])
def test_a_column_of_floats_takes_no_other_kind(client: TestClient, wanted: str) -> None:
    """Beside 1.5, Arrow takes true for 1.0; and what JSON writes as 1e400 is read as infinite."""
    for other in (b"true", b"1e400", b"-1e400"):
        rows = b'[{"age": 60, "sex": 1, "x": 1.5}, {"age": 60, "sex": 1, "x": %b}]' % other
        answer = post(client, JSON, rows, CARRIED, accept=wanted)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "x"


@pytest.mark.parametrize("wanted", [ARROW, PARQUET])
@pytest.mark.parametrize(
    ("first", "later"),
    [(1.5, 2), (1, None), ("a", None), ([1], []), ([1.5], [2]), ({"a": 1}, {"a": None})],
)
def test_later_objects_that_fit_the_first_are_carried_through(
    client: TestClient, wanted: str, first: Any, later: Any
) -> None:
    """Null is of any type, and an integer that a float holds is the same number."""
    rows = [*[GOOD | {"x": first}] * PARTS, GOOD | {"x": later}]
    answer = post(client, NDJSON, encoded(NDJSON, rows), CARRIED, accept=wanted)
    assert decoded(wanted, answer.content)[-1]["x"] == later


def test_csv_takes_any_type_after_nothing_but_nulls(client: TestClient) -> None:
    """It has no types to have written down; from then on, the column has one."""
    nulls: list[dict[str, Any]] = [GOOD | {"x": None}] * PARTS
    answer = post(client, NDJSON, encoded(NDJSON, [*nulls, GOOD | {"x": "007"}]), accept=CSV)
    assert decoded(CSV, answer.content)[-1]["x"] == "007"
    rows = [*nulls, *[GOOD | {"x": "007"}] * PARTS, GOOD | {"x": 7}]
    assert post(client, NDJSON, encoded(NDJSON, rows), CARRIED, accept=CSV).status_code == 422


@pytest.mark.parametrize("media", MEDIA)
def test_one_bad_row_refuses_the_table(client: TestClient, media: str) -> None:
    """422 with row, field, expected and got; the first row of data is row 1."""
    rows = [GOOD, GOOD | {"age": 630}, GOOD, {"age": 60, "sex": 7}]
    answer = post(client, media, encoded(media, rows))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    years, codes = "a number from 18 to 120 (years)", "one of 0 (female), 1 (male)"
    assert answer.json()["errors"] == [
        {"row": 2, "field": "age", "expected": years, "got": "630"},
        {"row": 4, "field": "sex", "expected": codes, "got": "7"},
    ]
    assert answer.json()["count"] == 2


@pytest.mark.parametrize("media", MEDIA)
def test_the_first_problems_are_listed_and_all_are_counted(client: TestClient, media: str) -> None:
    """Also those far behind; listing stops at a hundred. The detail says each mistake once."""
    count = CHUNK_ROWS + 50
    rows = [{"age": 630, "sex": 7} if n % 200 else GOOD for n in range(count)]
    problem = post(client, media, encoded(media, rows)).json()
    assert problem["count"] == 2 * sum(1 for n in range(count) if n % 200)
    assert len(problem["errors"]) == MOST_PROBLEMS
    assert [error["row"] for error in problem["errors"]][:4] == [2, 2, 3, 3]
    rows_of_each = f"{problem['count'] // 2:,} rows"
    assert problem["detail"].count(rows_of_each) == 2
    assert problem["detail"].startswith(
        f"age in {rows_of_each}: expected a number from 18 to 120 (years), got 630 in row 2, "
    )
    assert len(problem["detail"]) < 500


@pytest.mark.parametrize("wanted", MEDIA)
@pytest.mark.parametrize("given", MEDIA)
def test_bad_rows_can_be_reported_instead(client: TestClient, given: str, wanted: str) -> None:
    """Good rows are scored; bad ones come back with null, and an error that names each field."""
    rows = [GOOD, {"age": 630, "sex": 7}, GOOD]
    answer = post(client, given, encoded(given, rows), f"{HEART}?on_error=report", accept=wanted)
    assert answer.status_code == 200
    first, bad, last = decoded(wanted, answer.content)
    alone = client.post("/v1/heart/predict", json=GOOD).json()
    assert (
        first
        == last
        == {n: alone[n] for n in ("probability", "disease")}
        | {"error": "" if wanted in UNTYPED else None}
    )
    assert (bad["probability"], bad["disease"]) == (None, None)
    assert bad["error"] == (
        "age: expected a number from 18 to 120 (years), got 630; "
        "sex: expected one of 0 (female), 1 (male), got 7"
    )


def test_what_is_no_object_is_a_bad_row(client: TestClient) -> None:
    """It is reported like any other, and counted as the row that it is; empty lines are none."""
    lines = b'5\n\n{"age": 60, "sex": 1}\r\n{"age": 60\n{"age": NaN, "sex": 1}\n[]'
    answer = post(client, NDJSON, lines, f"{HEART}?on_error=report")
    errors = [row["error"] for row in decoded(NDJSON, answer.content)]
    assert errors[0] == "row: expected a JSON object, got 5"
    assert errors[1] is None
    assert all(
        str(error).startswith("row: expected a JSON object, got not") for error in errors[2:4]
    )
    assert errors[4] == "row: expected a JSON object, got an array of 0"


@pytest.mark.parametrize("on_error", ["refuse", "report"])
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("probability", "another name, which the answer does not use itself"),
        ("disease", "another name, which the answer does not use itself"),
        ("tresbps", "no name so like a field's (did you mean 'trestbps'?)"),
        ("choll", "no name so like a field's (did you mean 'chol'?)"),
    ],
)
@pytest.mark.parametrize("media", MEDIA)
def test_an_extra_column_that_would_mislead_is_refused(
    client: TestClient, media: str, extra: str, expected: str, on_error: str
) -> None:
    """One named like an answer; or like a field that is not there, which would silently be missing.

    In JSON it is the row that is bad, for its names are its own.
    """
    answer = post(
        client, media, encoded(media, [GOOD | {extra: 1}]), f"{HEART}?on_error={on_error}"
    )
    if media in (JSON, NDJSON) and on_error == "report":
        (row,) = decoded(media, answer.content)
        assert row["error"] == f"{extra}: expected {expected}, got 1"
        assert row["probability"] is None
        return
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["expected"]) == (extra, expected)


@pytest.mark.parametrize("media", [CSV, ARROW, PARQUET])
@pytest.mark.parametrize("on_error", ["refuse", "report"])
def test_a_required_column_cannot_be_missing(client: TestClient, media: str, on_error: str) -> None:
    """No row could be scored: refused before any is."""
    answer = post(client, media, encoded(media, [{"age": 60}]), f"{HEART}?on_error={on_error}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "sex", "expected": "a column of this name (required)", "got": "nothing"}
    ]


def test_a_column_that_comes_twice_is_refused(client: TestClient) -> None:
    """Nobody could say which of them is meant."""
    answer = post(client, CSV, b"age,sex,age\n60,1,61\n")
    assert answer.status_code == 422
    assert "Column 'age' comes more than once" in answer.json()["detail"]
    assert answer.json()["errors"] == [
        {"field": "age", "expected": "one column of this name", "got": "2"}
    ]


BROKEN = [
    (CSV, b"", "a line with the names of columns, got nothing"),
    (CSV, b"\n\n", "a line with the names of columns, got empty lines"),
    (CSV, b"age,sex\n60,1\n60\n", "row 2: expected 2 cells as in the line of names, got 1"),
    (CSV, b"age,sex,n\n" + b"60,1,x\n" * 200_000 + b"60,1,\xff\n", "expected text in UTF-8"),
    (CSV, b"\x00\xff\xfe", "required"),
    (CSV, b"age,sex" + b",x" * 2**19 + b"\n", "the line of names is longer than 1,048,576 bytes"),
    (JSON, b"", "expected a JSON array of objects, got nothing"),
    (JSON, b'[{"age": 60, "sex": 1}', "not JSON"),
    (JSON, b'{"age": 60, "sex": 1}', "a JSON array of objects"),
    (JSON, b"5", 'expected a JSON array of objects, got "5"'),
    (JSON, b'[{"age": 60, "sex": 1},]', "not JSON"),
    (JSON, b'[{"age": 60, "sex": 1}] {}', "not JSON"),
    (JSON, b"[" + b"1," * 2**22, "a row is longer than"),
    (JSON, b"[" + b'{"age": 60, "sex": 1},' * 200_000 + b"]", "not JSON"),
    (JSON, b"[" + b'{"age": 60, "sex": 1},' * 200_000 + b"{", "not JSON"),
    (JSON, b"[" + b'{"age": 60, "sex": 1} ' * 500_000 + b"]", "a row is longer than"),
    (NDJSON, b"1" * 2**23, "a line is longer than"),
    (JSON, b"[" * 100_000, "not JSON"),
    (ARROW, b"", "not an Arrow IPC stream"),
    (ARROW, b"age,sex\n60,1\n", "not an Arrow IPC stream"),
    (ARROW, encoded(ARROW, [GOOD])[:-80], "not an Arrow IPC stream"),
    (ARROW, encoded(ARROW, [GOOD]) * 2, "expected nothing behind its end"),
    (ARROW, encoded(ARROW, [GOOD]) + b"x", "expected nothing behind its end"),
    (PARQUET, b"", "not Parquet"),
    (PARQUET, encoded(PARQUET, [GOOD])[:-8], "not Parquet"),
    (PARQUET, b"PAR1" + b"\xff" * 60 + b"PAR1", "not Parquet"),
]


@pytest.mark.parametrize(("media", "body", "message"), BROKEN)
def test_a_body_that_is_not_what_it_is_said_to_be(
    client: TestClient, media: str, body: bytes, message: str
) -> None:
    """Empty, cut off or something else: 422 that says so, never a 500."""
    answer = post(client, media, body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"content-type": "application/xml"}, 415, "expected Content-Type application/json or"),
        ({"content-type": CSV, "content-encoding": "gzip"}, 415, "Content-Encoding gzip"),
        ({"content-type": CSV, "accept": "text/html"}, 406, "expected Accept to allow"),
        ({"content-type": CSV, "accept": "text/csv;q=0"}, 406, "expected Accept to allow"),
        ({"content-type": CSV, "accept": "text/csv;q=nan"}, 406, "expected Accept to allow"),
        ({"content-type": CSV, "accept": "*/*;q=0"}, 406, "expected Accept to allow"),
    ],
)
def test_formats_that_there_are_not(
    client: TestClient, headers: dict[str, str], status: int, message: str
) -> None:
    """415 and 406 say which there are."""
    answer = client.post(HEART, content=b"age,sex\n60,1\n", headers=headers)
    assert answer.status_code == status
    assert message in answer.json()["detail"]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", CSV),
        ("text/*", CSV),
        ("application/*", JSON),
        (f"{NDJSON};q=0.5, {ARROW}", ARROW),
        (f"text/html, {NDJSON};q=0.1", NDJSON),
        ("Text/CSV; charset=utf-8", CSV),
        ("text/csv;q=0, */*", JSON),
        ("*/*, text/csv;q=0.5", JSON),
        ("application/*, application/json;q=0", NDJSON),
        (f"*/*;q=0.1, {ARROW}", ARROW),
        (f"{PARQUET}, {CSV}", PARQUET),
        ("application/json, text/plain, */*", CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", CSV),
        ("application/json, */*;q=0.5", JSON),
    ],
)
def test_accept_is_read_as_http_has_it(client: TestClient, accept: str, wanted: str) -> None:
    """Weights and ranges, the most specific one of each; a wildcard takes the body's own."""
    answer = post(client, CSV, b"age,sex\n60,1\n", accept=accept)
    assert answer.headers["content-type"].partition(";")[0] == wanted


def test_choices_that_there_are_not(client: TestClient) -> None:
    """Another value of `on_error`, and a model of another task."""
    answer = post(client, CSV, b"age,sex\n60,1\n", f"{HEART}?on_error=ignore")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["expected"] == "refuse or report"
    assert post(client, CSV, b"age,sex\n60,1\n", f"{HEART}?model=credit").status_code == 404
    assert post(client, CSV, b"age,sex\n60,1\n", f"{HEART}?model=heart").status_code == 200


def test_types_of_arrow_that_are_numbers_and_others(client: TestClient) -> None:
    """Decimals, small integers and dictionaries of numbers are read; text and booleans refused."""
    table = pa.table(
        {
            "age": pa.array([Decimal("60.0"), Decimal("61.5")]),
            "sex": pa.array([1, 0], pa.uint8()).dictionary_encode(),
            "cp": pa.array([1.0, None], pa.float32()),
            "when": pa.array([0, 1], pa.timestamp("s")),
        }
    )
    for media, body in ((ARROW, arrow(table)), (PARQUET, parquet(table))):
        answer = post(client, media, body, accept=JSON)
        assert answer.status_code == 200, answer.text
        assert [row["when"] for row in answer.json()] == [
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:01",
        ]
    wrong = pa.table({"age": ["60"], "sex": [True], "chol": [float("nan")]})
    errors = post(client, ARROW, arrow(wrong)).json()["errors"]
    assert [(error["field"], error["got"]) for error in errors] == [
        ("age", '"60"'),
        ("sex", "true"),
        ("chol", "nan"),
    ]


@pytest.mark.parametrize("given", [ARROW, PARQUET])
@pytest.mark.parametrize("wanted", MEDIA)
def test_extra_columns_of_many_types_are_carried_through(
    client: TestClient, given: str, wanted: str
) -> None:
    """Categories that differ from part to part, dates, decimals, bytes, lists: values stay."""
    parts = [
        pa.table(
            {
                "age": [60, 61],
                "sex": [1, 0],
                "kind": pa.array(kinds).dictionary_encode(),
                "day": pa.array([0, None], pa.date32()),
                "sum": [Decimal("1.10"), None],
                "note": pa.array([None, ""], pa.large_string()),
                "flag": [True, None],
            }
        )
        for kinds in (["a", "b"], ["c", None])
    ]
    table = pa.concat_tables(parts)
    body = (arrow if given == ARROW else parquet)(table)
    answer = post(client, given, body, CARRIED, accept=wanted)
    assert answer.status_code == 200, answer.text
    rows = decoded(wanted, answer.content)
    empty = "" if wanted in UNTYPED else None
    assert [row["kind"] for row in rows] == ["a", "b", "c", empty]
    assert str(rows[0]["day"]) == "1970-01-01"
    assert str(rows[0]["sum"]) == ("1.1" if wanted == EXCEL else "1.10")  # a float in Excel
    assert rows[1]["note"] == (None if wanted == EXCEL else "")  # which has no empty text
    assert str(rows[0]["flag"]).lower() == "true"
    nested = pa.table({"age": [60], "sex": [1], "list": [[1, 2]]})
    answer = post(client, given, (arrow if given == ARROW else parquet)(nested), accept=wanted)
    if wanted in UNTYPED:
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "list"
    elif wanted == EXCEL:
        assert decoded(wanted, answer.content)[0]["list"] == "[1, 2]"
    else:
        assert decoded(wanted, answer.content)[0]["list"] == [1, 2]


NOT_JSONS: dict[str, Any] = {
    "bytes": pa.array([b"\xff"]),
    "views of bytes": pa.array([b"\xff"], pa.binary_view()),
    "bytes in a list": pa.array([[b"\xff"]]),
    "bytes in a dictionary": pa.array([b"\xff"]).dictionary_encode(),
    "a far moment": pa.array([10**17], pa.timestamp("s")),
    "a far day": pa.array([2**30], pa.date32()),
    "a long time": pa.array([2**60], pa.duration("s")),
    "an unknown zone": pa.array([1], pa.timestamp("s", "Foo/Bar")),
    "a nanosecond": pa.array([10**9 + 1], pa.timestamp("ns")),
    "a nanosecond of a day": pa.array([1], pa.time64("ns")),
    "a nanosecond long": pa.array([1], pa.duration("ns")),
    "no number": pa.array([float("nan")]),
    "infinity": pa.array([float("inf")], pa.float32()),
    "infinity in a list": pa.array([[float("-inf")]]),
}


@pytest.mark.parametrize("wanted", [JSON, NDJSON])
@pytest.mark.parametrize("cells", NOT_JSONS.values(), ids=NOT_JSONS.keys())
def test_what_json_cannot_hold_is_refused_and_never_changed(
    client: TestClient, wanted: str, cells: Any
) -> None:
    """422 that names the column: no crash, no null, no digit less."""
    table = pa.table({"fine": ["NaN"], "x": cells, "age": [60], "sex": [1]})
    answer = post(client, ARROW, arrow(table), CARRIED, accept=wanted)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "x"
    assert "JSON" in error["expected"]
    assert post(client, ARROW, arrow(table), CARRIED, accept=ARROW).status_code == 200


@pytest.mark.parametrize("media", [JSON, NDJSON])
def test_a_number_too_large_for_a_float_is_no_null(client: TestClient, media: str) -> None:
    """JSON writes 1e400; who reads it has infinity, which JSON cannot write."""
    row = b'{"age": 60, "sex": 1, "x": {"y": [1e400]}}'
    answer = post(client, media, b"[%b]" % row if media == JSON else row)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "x"


def test_words_are_no_numbers_that_json_lacks(client: TestClient) -> None:
    """A text may say NaN; microseconds of a column of nanoseconds stay."""
    words = ["NaN", "Infinity"]
    moments = pa.array([1_000, None], pa.timestamp("ns"))
    table = pa.table({"NaN": words, "at": moments, "age": [60, 60], "sex": [1, 1]})
    rows = post(client, ARROW, arrow(table), accept=JSON).json()
    assert [row["NaN"] for row in rows] == words
    assert [row["at"] for row in rows] == ["1970-01-01T00:00:00.000001", None]


@pytest.mark.parametrize(
    "cells",
    [pa.array([10**17], pa.timestamp("s")), pa.array([2**30], pa.date32())],
    ids=["moment", "day"],
)
def test_a_time_that_no_calendar_has_is_not_written_to_csv(client: TestClient, cells: Any) -> None:
    """Arrow would write `<value out of range: 1073741824>`."""
    table = pa.table({"x": cells, "age": [60], "sex": [1]})
    answer = post(client, ARROW, arrow(table), accept=CSV)
    assert answer.json()["errors"][0]["field"] == "x"


CAME: dict[str, tuple[Any, str]] = {
    "decimal": (pa.array([Decimal("4000.0")]), '"4000.0"'),
    "day": (pa.array([1], pa.date32()), '"1970-01-02"'),
    "moment": (pa.array([1], pa.timestamp("s")), '"1970-01-01T00:00:01"'),
    "identifier": (
        pa.array([b"0123456789abcdef"], pa.uuid()),
        '"30313233-3435-3637-3839-616263646566"',
    ),
    "a far day": (pa.array([2**30], pa.date32()), "a value of type date32[day]"),
    "a far moment": (pa.array([10**17], pa.timestamp("s")), "a value of type timestamp[s]"),
    "a long time": (pa.array([2**60], pa.duration("s")), "a value of type duration[s]"),
    "an unknown zone": (
        pa.array([1], pa.timestamp("s", "Foo/Bar")),
        "a value of type timestamp[s, tz=Foo/Bar]",
    ),
    "bytes": (pa.array([b"\xff"]), "a value of type binary"),
}


@pytest.mark.parametrize("on_error", ["refuse", "report"])
@pytest.mark.parametrize(("cells", "got"), CAME.values(), ids=CAME.keys())
def test_a_field_of_any_type_of_arrow_has_a_readable_problem(
    client: TestClient, cells: Any, got: str, on_error: str
) -> None:
    """The problem shows the value as JSON, or its type where JSON cannot write it."""
    table = pa.table({"age": cells, "sex": [1]})
    answer = post(client, ARROW, arrow(table), f"{HEART}?on_error={on_error}", accept=JSON)
    if on_error == "report":
        assert answer.json()[0]["error"].endswith(f"(years), got {got}")
    else:
        assert answer.json()["errors"][0]["got"] == got


DICTIONARIES: list[Any] = [
    pa.array([1], pa.date32()),
    pa.array([1], pa.timestamp("us")),
    pa.array([1], pa.time64("us")),
    pa.array([1], pa.duration("s")),
    pa.array([Decimal("1.5")]),
    pa.array(["a"], pa.string_view()),
    pa.array([b"a"], pa.binary_view()),
]


@pytest.mark.parametrize("values", DICTIONARIES, ids=lambda values: str(values.type))
def test_dictionaries_of_any_type_are_carried_through(client: TestClient, values: Any) -> None:
    """Categories are not text only."""
    packed = pa.DictionaryArray.from_arrays(pa.array([0, None]), values)
    table = pa.table({"x": packed, "age": [60, 60], "sex": [1, 1]})
    rows = decoded(ARROW, post(client, ARROW, arrow(table), CARRIED).content)
    assert [row["x"] for row in rows] == [values[0].as_py(), None]


def test_runs_are_read_value_by_value(client: TestClient) -> None:
    """Run-end-encoded integers are numbers, and other such columns are carried through."""
    ages = pa.RunEndEncodedArray.from_arrays([2, 3], [60, 61])
    kinds = pa.RunEndEncodedArray.from_arrays([1, 3], ["a", "b"])
    table = pa.table({"age": ages, "sex": [1, 1, 1], "kind": kinds})
    rows = post(client, ARROW, arrow(table), accept=JSON).json()
    assert [row["kind"] for row in rows] == ["a", "b", "b"]
    assert rows[0]["probability"] == rows[1]["probability"] != rows[2]["probability"]


@pytest.fixture(scope="module")
def small(models_dir: Path) -> Any:
    """A service with low limits."""
    settings = Settings(
        models_dir=models_dir, device="cpu", max_body_bytes=4096, max_bulk_bytes=20_000
    )
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("announced", [True, False])
def test_tables_have_a_limit_of_their_own(small: TestClient, media: str, announced: bool) -> None:
    """Longer than other bodies may be; whether the length was announced or not."""
    limit = 20_000
    rng = np.random.default_rng(0)
    for rows, status in ((limit // 200, 200), (limit // 10, 413)):
        noise = [GOOD | {"id": str(rng.integers(10**9, 10**10))} for _ in range(rows)]
        body = encoded(media, noise)
        assert (len(body) > limit) == (status == 413)
        content = body if announced else iter([body[:1000], body[1000:]])
        answer = small.post(HEART, content=content, headers={"content-type": media})
        assert answer.status_code == status
        if status == 413:
            assert "FORETELL_MAX_BULK_BYTES" in answer.json()["detail"]
    assert small.post("/v1/heart/predict", content=b"x" * 5000).status_code == 413


def test_answers_that_have_to_be_kept_have_the_same_limit(small: TestClient) -> None:
    """Where they would be longer than the body, as NDJSON from CSV: refused, saying of what."""
    body = b"age,sex\n" + b"60,1\n" * 2000
    answer = post(small, CSV, body, accept=NDJSON)
    assert answer.status_code == 413
    assert "the answers that have to be kept are larger" in answer.json()["detail"]


def test_every_table_has_its_documented_route(client: TestClient) -> None:
    """A task that declares fields has it; nothing else has to be written for it."""
    paths = client.get("/openapi.json").json()["paths"]
    for task in TASKS.values():
        path = f"/v1/{task.name}/predict/batch"
        assert (path in paths) == isinstance(task, TabularTask)
        if path in paths:
            operation = paths[path]["post"]
            assert set(operation["requestBody"]["content"]) == set(MEDIA)
            assert set(operation["responses"]["200"]["content"]) == set(MEDIA)
            names = {parameter["name"] for parameter in operation["parameters"]}
            assert names == {"model", "version", "label", "on_error", *NAMES}


def test_nothing_of_it_is_loaded_before_it_is_used() -> None:
    """The service starts without PyArrow, which takes half a second and 50 MB."""
    assert "pyarrow" not in loaded_after("import service.api.app, service.api.http.batch")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("media", [CSV, PARQUET])
def test_a_full_disk_is_a_507_that_names_the_setting(
    client: TestClient, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For answers that have to be kept, and for a body of which the end is read first."""

    def full(**_: object) -> Any:
        return Path("/dev/full").open("r+b")

    monkeypatch.setattr("service.bulk.tables.spool.IN_MEMORY", 1)
    monkeypatch.setattr("service.bulk.tables.spool.TemporaryFile", full)
    monkeypatch.setattr("tempfile.TemporaryFile", full)  # which a spool in memory turns into
    for on_error in ("refuse", "report"):
        answer = client.post(
            f"{HEART}?on_error={on_error}",
            content=encoded(media, [GOOD] * 1000),
            headers={"content-type": media},
        )
        assert answer.status_code == 507
        assert "FORETELL_SPOOL_DIR: No space left on device" in answer.json()["detail"]
    monkeypatch.undo()
    content, headers = encoded(media, [GOOD]), {"content-type": media}
    assert client.post(HEART, content=content, headers=headers).status_code == 200


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_line_ends_in_cells_come_back_as_they_came_wherever_a_block_ends(
    client: TestClient, missing: int
) -> None:
    """CR LF in a quoted cell stays CR LF, also where a block of 1 MiB ends between them."""
    head = 'id,age,sex,note\r\n0,57,1,"'
    filler = "z" * (2**20 - len(head) - 2 + missing - 1)
    body = f'{head}{filler}A\r\nB"\r\n1,57,1,plain\r\n'.encode()
    answer = post(client, CSV, body, accept=NDJSON)
    first, second = map(json.loads, answer.text.splitlines())
    assert first["note"] == f"{filler}A\r\nB"
    assert second["note"] == "plain"


@pytest.mark.parametrize("first", [0, 3])
def test_an_error_in_a_cell_of_excel_is_no_empty_cell(client: TestClient, first: int) -> None:
    """In a field it is a bad value; elsewhere it comes back; #N/A says that nothing is known."""
    rows: list[list[Any]] = [["note", "age", "sex", "chol"]]
    rows += [[None, 60, 1, 200] for _ in range(30)]
    place = "ABCDEFGH"[first + 3]
    at = first + 21
    given = excel(rows, first=first, errors={f"{place}{at}": "#DIV/0!"})
    refused = post(client, EXCEL, given)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["row"], error["field"], error["got"]) == (20, "chol", '"#DIV/0!"')
    answer = post(client, EXCEL, given, f"{HEART}?on_error=report", accept="text/csv")
    errors = [row["error"] for row in csv.DictReader(io.StringIO(answer.text))]
    assert [place for place, error in enumerate(errors, 1) if error] == [20]
    note = "ABCDEFGH"[first]
    given = excel(rows, first=first, errors={f"{note}{at}": "#REF!", f"{place}{at}": "#N/A"})
    answer = post(client, EXCEL, given, accept="text/csv")
    assert answer.status_code == 200
    notes = [row["note"] for row in csv.DictReader(io.StringIO(answer.text))]
    assert notes == ["#REF!" if number == 20 else "" for number in range(1, 31)]
