"""Tables of a few hundred bytes that say they are a few thousand million cells."""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile.attacked import Attacked, serving, watching
from tests.waiting import wait_until

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
CSV, JSON, NDJSON = "text/csv", "application/json", "application/x-ndjson"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MIB = 2**20
PATH = "/v1/heart/predict/batch?ignore=*"
HONEST = b"age,sex\n60,1\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Attacked]:
    """A service that has answered a table: what is measured are attacks, not PyArrow's start."""
    with serving() as attacked:
        assert send(attacked, CSV, HONEST).status_code == 200
        yield attacked


def send(service: Attacked, media: str, body: bytes) -> httpx.Response:
    """Send a table."""
    return httpx.post(
        f"{service.url}{PATH}", content=body, headers={"content-type": media}, timeout=20
    )


def rows(count: int) -> dict[str, Any]:
    """Columns of the required fields."""
    return {"age": pa.array(np.full(count, 60, np.int8)), "sex": pa.array(np.ones(count, np.int8))}


def stream(columns: dict[str, Any]) -> bytes:
    """An Arrow IPC stream of one batch, compressed."""
    batch, sink = pa.record_batch(columns), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def parquet(columns: dict[str, Any]) -> bytes:
    """A Parquet file, compressed."""
    sink = io.BytesIO()
    table = pa.table(columns)
    pq.write_table(table, sink, compression="zstd", dictionary_pagesize_limit=2**26)
    return sink.getvalue()


def long_dictionary(count: int) -> Any:
    """A text of a megabyte, in every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), ["x" * MIB])


def long_run(count: int) -> Any:
    """A text of a megabyte, in every row, as one run."""
    return pa.RunEndEncodedArray.from_arrays(pa.array([count], pa.int32()), ["x" * MIB])


def long_list() -> Any:
    """Twenty million nulls, in the list of one row."""
    offsets = pa.array([0, 20_000_000], pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.nulls(20_000_000))


def workbook(cells: str, shared: str = "") -> bytes:
    """A workbook of one sheet, from the XML of its rows."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="a" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        '<sheet name="s" sheetId="1" r:id="a"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="a" Type="{relations}/worksheet" Target="worksheets/s.xml"/>'
        f'<Relationship Id="b" Type="{relations}/sharedStrings" Target="sharedStrings.xml"/>'
        "</Relationships>",
        "xl/worksheets/s.xml": f'<worksheet xmlns="{main}"><sheetData><row r="1">'
        '<c r="A1" t="inlineStr"><is><t>age</t></is></c>'
        '<c r="B1" t="inlineStr"><is><t>sex</t></is></c></row>'
        f"{cells}</sheetData></worksheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{shared}</sst>',
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, '<?xml version="1.0"?>' + content)
    return sink.getvalue()


ROW = '<row r="2"><c r="A2"><v>60</v></c><c r="B2"><v>1</v></c></row>'
CORNER = '<row r="1000000"><c r="AAA1000000"><v>1</v></c></row>'

ATTACKS: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "Arrow: a long text in a dictionary": (
        ARROW,
        lambda: stream({**rows(4000), "x": long_dictionary(4000)}),
        413,
    ),
    "Arrow: a long text as a run": (
        ARROW,
        lambda: stream({**rows(4000), "x": long_run(4000)}),
        413,
    ),
    "Arrow: zeros, compressed": (
        ARROW,
        lambda: stream({**rows(1), "x": pa.array([b"\0" * 100 * MIB])}),
        413,
    ),
    "Arrow: two thousand million rows": (
        ARROW,
        lambda: stream({"age": pa.nulls(2**31 - 1), "sex": pa.nulls(2**31 - 1)}),
        413,
    ),
    "Arrow: twenty million nulls in a list": (
        ARROW,
        lambda: stream({**rows(1), "x": long_list()}),
        413,
    ),
    "Parquet: a long text in a dictionary": (
        PARQUET,
        lambda: parquet({**rows(16_384), "x": long_dictionary(16_384)}),
        413,
    ),
    "Parquet: four million rows": (
        PARQUET,
        lambda: parquet(rows(4_000_000)),
        413,
    ),
    "Parquet: twenty million nulls in a list": (
        PARQUET,
        lambda: parquet({**rows(1), "x": long_list()}),
        413,
    ),
    "CSV: gzip": (
        CSV,
        lambda: gzip.compress(b"age,sex\n") + gzip.compress(b"60,1\n" * 10_000_000, 1),
        413,
    ),
    "CSV: zstd of one line": (
        CSV,
        lambda: pa.compress(b"age,sex\n" + b" " * 2**29, codec="zstd", asbytes=True),
        422,
    ),
    "CSV: a million columns": (CSV, lambda: b"age,sex" + b",a" * 400_000 + b"\n60,1\n", 422),
    "CSV: columns without names": (CSV, lambda: b"age,sex" + b"," * 900_000 + b"\n60,1\n", 422),
    "CSV: names like fields": (
        CSV,
        lambda: (
            b"age,sex,"
            + b",".join(b"cholestor%d" % place for place in range(9_000))
            + b"\n60,1"
            + b"," * 9_000
        ),
        200,
    ),
    "JSON: empty objects in a row": (
        JSON,
        lambda: b'[{"a":[' + b"{}," * (MIB // 3) + b"{}]}]",
        422,
    ),
    "JSON: a row without end": (JSON, lambda: b'[{"a":[' + b"{}," * (5 * MIB // 3), 422),
    "NDJSON: new names": (
        NDJSON,
        lambda: b"\n".join(
            b'{"age":60,"sex":1,"cholestor%d":"a"}' % place for place in range(30_000)
        ),
        422,
    ),
    "Excel: two cells far from each other": (EXCEL, lambda: workbook(ROW + CORNER), 413),
    "Excel: eight million cells": (
        EXCEL,
        lambda: workbook("<row>" + "<c><v>1</v></c>" * 8_000_000 + "</row>"),
        413,
    ),
    "Excel: nine million texts": (
        EXCEL,
        lambda: workbook(ROW, "<si><t/></si>" * 9_000_000),
        413,
    ),
    "Excel: more than it says": (EXCEL, lambda: workbook(ROW + " " * 200 * MIB), 422),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_small_table_costs_nobody_else_an_answer(service: Attacked, name: str) -> None:
    """It is refused, or answered, in little memory and time; the process answers on."""
    media, made, status = ATTACKS[name]
    body = made()
    with watching(service) as watch:
        answer = send(service, media, body)
        wait_until(lambda: watch.answers > 1)  # some are refused before anybody is probed
    assert answer.status_code == status, answer.text[:300]
    watch.check()


PLANTED = "Planted-Smith"


def test_no_value_and_no_name_of_a_column_stands_in_the_log(service: Attacked) -> None:
    """Where an answer is refused, and where it is cut off, in every format."""
    good = '{"age": 60, "sex": 1, "note": 1}\n' * 40_000
    later = f'{{"age": 60, "sex": 1, "note": "{PLANTED}"}}\n'
    cases = [
        (NDJSON, f"{good}{later}", ""),
        (NDJSON, f'{good}{{"age": "{PLANTED}", "sex": 1, "{PLANTED}": 1}}\n', ""),
        (NDJSON, f'{{"age": "{PLANTED}"}}\n', ""),
        (CSV, f"age,sex,{PLANTED}\n" + "60,1,\n" * 400_000 + f"{PLANTED},1\n", ""),
        (CSV, f"age,sex,{PLANTED}\n60,1,5\n", ""),
        (JSON, f"[{good.replace(chr(10), ',')}{PLANTED}]", ""),
        (ARROW, PLANTED * 100, ""),
        (PARQUET, PLANTED * 100, ""),
        (EXCEL, f"PK{PLANTED}" * 100, ""),
        (CSV, "age,sex\n60,1\n", f"&map={PLANTED}=chol&sheet={PLANTED}"),
    ]
    for media, body, options in cases:
        for on_error in ("refuse", "report"):
            httpx_error = None
            try:
                httpx.post(
                    f"{service.url}/v1/heart/predict/batch?on_error={on_error}{options}",
                    content=body.encode(),
                    headers={"content-type": media, "accept": f"{CSV}, */*;q=0.5"},
                    timeout=20,
                )
            except httpx.RemoteProtocolError as error:
                httpx_error = error
            assert httpx_error is None or on_error == "report"
    assert service.of("bulk answer cut off")
    assert PLANTED not in service.log.read_text()
