"""Tables are bounded before they are unpacked, and honest ones are not changed by it."""

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.tables import json_reader
from service.bulk.tables.allowance import FREE_BYTES, FREE_CELLS, Allowance
from service.bulk.tables.arrow_messages import BoundedMessages
from service.bulk.tables.arrow_reader import parquet_batches
from service.bulk.tables.decoders import pool
from service.bulk.tables.decoders.pool import TableDecoders
from service.bulk.tables.json_reader import ElementEnds
from service.bulk.tables.options import TableOptions
from service.bulk.tables.plain_columns import MOST_ITEMS, MOST_PIECE, plain, plain_type
from service.contract.rows import RowTask
from service.errors import InvalidPayload, RequestError, TableTooLarge, UnreadableTable
from service.tasks import TASKS
from tests.service.bulk.test_tables import ARROW, CARRIED, CSV, JSON, NDJSON, PARQUET, parquet, post

HEART = TASKS["heart"]


def stream(table: Any, compression: str | None = None) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def bounded(body: bytes, allowance: Allowance | None = None) -> Any:
    """An Arrow IPC stream, read through its bounds."""
    bounds = allowance or Allowance(lambda: len(body), 2)
    return pa.ipc.open_stream(BoundedMessages(io.BytesIO(body), bounds)).read_all()


EVERY_TYPE = pa.table(
    {
        "number": pa.array([1, None, 3]),
        "text": ["a", None, "ccc"],
        "list": [[1], None, [2, 3]],
        "struct": [{"a": 1}, None, {"a": 2}],
        "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "nothing": pa.nulls(3),
        "category": pa.array(["x", None, "x"]).dictionary_encode(),
        "view": pa.array(["long enough for no place inside", None, "b"], pa.string_view()),
        "run": pa.RunEndEncodedArray.from_arrays([2, 3], ["y", "z"]),
    }
)


def test_a_file_of_ones_own_has_no_bound() -> None:
    """A table that `foretell score` reads lies on the disk of who runs it."""
    Allowance().take_rows(10**12, 10**12)
    Allowance().take_bytes(10**12)


def test_more_is_read_of_who_sends_more() -> None:
    """Cells and bytes that were free, and then some for each byte that came."""
    sent = 0
    allowance = Allowance(lambda: sent, 13)
    allowance.take_rows(FREE_CELLS // 13, 0)
    with pytest.raises(TableTooLarge, match="at most 16,777,216, and 16 more for each byte sent"):
        allowance.take_rows(1000, 0)
    sent = 1000
    allowance.take_rows(100, 0)
    allowance.take_bytes(FREE_BYTES + 100_000)
    with pytest.raises(TableTooLarge):
        allowance.take_bytes(1)


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_messages_of_arrow_pass_as_they_are(compression: str | None) -> None:
    """Columns of every type, compressed or not."""
    assert bounded(stream(EVERY_TYPE, compression)).equals(EVERY_TYPE)


def test_damaged_messages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut anywhere, and with any byte of the metadata changed: an error that can be answered."""
    body = stream(EVERY_TYPE, "zstd")
    for place in range(0, len(body), 7):
        for damaged in (
            body[:place],
            body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :],
        ):
            try:
                bounded(damaged)
            except (pa.ArrowException, RequestError, OSError, ValueError, KeyError):
                continue


def test_dictionaries_count_together() -> None:
    """A hundred of a megabyte lie in memory at once."""
    values = pa.array(["x" * 2**20])
    column = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), values)
    table = pa.table({f"x{place}": column for place in range(100)})
    with pytest.raises(TableTooLarge, match="bytes of dictionaries"):
        bounded(stream(table, "zstd"))


def test_batches_without_rows_are_passed_over(client: TestClient) -> None:
    """Some thousand of them, before a row and behind it."""
    batch = pa.record_batch({"age": [60], "sex": [1]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for rows in (0, 1, 0):
            for _ in range(1 if rows else 2_000):
                writer.write_batch(batch.slice(0, rows))
    answer = post(client, ARROW, sink.getvalue(), accept=JSON)
    assert len(answer.json()) == 1


def test_columns_of_nulls_take_no_longer_than_others(client: TestClient) -> None:
    """Two thousand of them in CSV, in several parts."""
    columns = {f"x{place}": pa.nulls(1000) for place in range(2_000)}
    table = pa.table({"age": [60] * 1000, "sex": [1] * 1000, **columns})
    start = time.perf_counter()
    assert post(client, ARROW, stream(table), accept=CSV).status_code == 200
    assert time.perf_counter() - start < 20  # it was quadratic in the columns


def test_values_are_written_out_as_they_were() -> None:
    """A few rows at a time, whatever they were packed in."""
    (batch,) = EVERY_TYPE.to_batches()
    pieces = list(plain([batch], 2, Allowance()))
    assert [piece.num_rows for piece in pieces] == [2, 1]
    assert pa.Table.from_batches(pieces).to_pylist() == EVERY_TYPE.to_pylist()
    assert pieces[0].schema.types == [plain_type(kind) for kind in EVERY_TYPE.schema.types]


@pytest.mark.parametrize("packed", ["dictionary", "run", "view", "list"])
def test_rows_that_grow_are_cut(packed: str) -> None:
    """So that no piece is longer than it may be, written out."""
    text, count = "x" * 2**19, 100
    columns = {
        "dictionary": pa.DictionaryArray.from_arrays(pa.array([0] * count), [text]),
        "run": pa.RunEndEncodedArray.from_arrays([count], [text]),
        "view": pa.array([text] * count, pa.string_view()),
        "list": pa.array([[1] * (MOST_ITEMS // 10)] * count),
    }
    batch = pa.record_batch({"x": columns[packed]})
    pieces = list(plain([batch], count, Allowance()))
    assert len(pieces) > 5
    assert sum(piece.num_rows for piece in pieces) == count
    assert all(piece.nbytes <= 1.1 * MOST_PIECE for piece in pieces)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
        pa.struct([("a", pa.string_view())]),
        pa.list_view(pa.int8()),
        pa.dictionary(pa.int8(), pa.list_(pa.int8())),
    ],
    ids=str,
)
def test_columns_that_grow_without_end_are_refused(kind: Any) -> None:
    """A list of categories may hold one of a megabyte a million times."""
    with pytest.raises(InvalidPayload, match="columns: expected columns of plain values"):
        plain_type(kind)


NOT_UTF8 = {
    ARROW: stream(pa.table({"age": [60], "sex": [1], "QQQQ": [1]})).replace(b"QQQQ", b"\xff" * 4),
    CSV: b"age,sex,\xff\xfe\xfd" + b"\n60,1,1\n",
}
_sink = io.BytesIO()
pq.write_table(pa.table({"age": [60], "sex": [1], "QQQQ": [1]}), _sink, store_schema=False)
NOT_UTF8[PARQUET] = _sink.getvalue().replace(b"QQQQ", b"\xff" * 4)


@pytest.mark.parametrize("media", NOT_UTF8)
@pytest.mark.parametrize("wanted", [CSV, JSON, PARQUET])
def test_names_that_are_no_text_are_refused(client: TestClient, media: str, wanted: str) -> None:
    """422, never a crash; CSV that is no UTF-8 is taken for Windows-1252."""
    answer = post(client, media, NOT_UTF8[media], CARRIED, accept=wanted)
    assert answer.status_code == (200 if media == CSV else 422), answer.text
    if media != CSV:
        assert "UTF-8" in answer.json()["detail"]


def test_text_of_parquet_that_is_none_is_refused(client: TestClient) -> None:
    """Its reader looks at no byte of it."""
    table = pa.table({"age": [60], "sex": [1], "note": ["QQQQ"]})
    body = parquet(table).replace(b"QQQQ", b"\xff" * 4)
    for wanted in (CSV, JSON, PARQUET):
        answer = post(client, PARQUET, body, CARRIED, accept=wanted)
        assert answer.status_code == 422, answer.text


def test_rows_of_many_names_make_up_no_table(client: TestClient) -> None:
    """Five thousand rows with a name of their own each would be twenty-five million cells."""
    body = b"\n".join(b'{"age":60,"sex":1,"x%d":"a"}' % place for place in range(5_000))
    assert post(client, NDJSON, body, CARRIED, accept=NDJSON).status_code == 200
    answer = post(client, NDJSON, body, CARRIED, accept=CSV)
    assert answer.status_code == 413
    assert "ask for NDJSON" in answer.json()["detail"]


@pytest.fixture
def decoders() -> Iterator[TableDecoders]:
    """Decoders of tables, which are ended."""
    made = TableDecoders()
    yield made
    made.close()


def decoded(decoders: TableDecoders, file: Path, task: RowTask = HEART) -> Any:  # type: ignore[assignment]
    """Return a Parquet file as another process reads it."""
    with (
        file.open("rb") as source,
        decoders.decoded(parquet_batches, source, task, TableOptions()) as found,
    ):
        return pa.Table.from_batches(found.batches, found.schema)


def test_a_decoder_reads_one_table_after_another(decoders: TableDecoders, tmp_path: Path) -> None:
    """One that has ended in between is replaced; what is no table ends none."""
    file, other = tmp_path / "a", tmp_path / "b"
    table = pa.table({"age": [60, 61], "sex": [1, 0]})
    pq.write_table(table, file)
    other.write_bytes(b"PAR1")
    assert decoded(decoders, file).equals(table)
    (first,) = decoders._idle
    with pytest.raises(UnreadableTable):
        decoded(decoders, other)
    assert decoded(decoders, file).equals(table)
    assert decoders._idle == [first]
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert decoded(decoders, file).equals(table)
    assert decoders._idle != [first]


def test_a_decoder_that_dies_is_a_refusal(
    decoders: TableDecoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system ends processes for want of memory."""
    file = tmp_path / "a"
    pq.write_table(pa.table({"age": [60], "sex": [1]}), file)
    monkeypatch.setattr(pool.DecoderProcess, "ask", lambda self, *_: self.process.kill())
    with pytest.raises(TableTooLarge, match="memory"):
        decoded(decoders, file)
    assert not decoders._idle


def test_a_decoder_has_no_key(
    decoders: TableDecoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor any other variable of the service."""
    monkeypatch.setenv("FORETELL_ADMIN_KEY", "x" * 20)
    file = tmp_path / "a"
    pq.write_table(pa.table({"age": [60], "sex": [1]}), file)
    decoded(decoders, file)
    pid = decoders._idle[0].process.pid
    assert b"FORETELL" not in Path(f"/proc/{pid}/environ").read_bytes()


INNER = st.recursive(
    st.none() | st.text('{}[]",\\:é', max_size=6) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('}{",\\', max_size=3), inner)
    ),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), INNER, max_size=3), max_size=6), st.integers(1, 9)
)
def test_the_ends_of_elements_are_found_in_text_that_grows(rows: list[Any], step: int) -> None:
    """However it is cut: what lies before them are whole elements; at once, all but the last."""
    text = json.dumps(rows, ensure_ascii=False)[1:].encode()
    ends, last = ElementEnds(), None
    for size in range(step, len(text) + step, step):
        last = ends.last(text[:size]) or last
    found = json.loads(b"[" + text[: last[0]] + b"]") if last else []
    assert found == rows[: len(found)]
    at_once = ElementEnds().last(text)
    assert json.loads(b"[" + text[: at_once[0] if at_once else 0] + b"]") == rows[:-1]


@given(st.lists(st.dictionaries(st.text(max_size=3), INNER, max_size=3), max_size=6))
def test_an_array_is_read_as_it_is_written(rows: list[Any]) -> None:
    """Also where a block ends inside of a string, an object or a list."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "BLOCK", 7)
        parts = list(json_reader._elements(io.BytesIO(json.dumps(rows).encode())))
    assert [row for part in parts for row in part] == rows
