"""A log that nobody reads holds nothing up, and no log says what was in a row."""

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile.attacked import MODELS, ROW, Attacked, serving
from tests.waiting import wait_until

PLANTED = "Zx9Qplanted"
"""A text that stands for a patient's name, in every place where a caller can write."""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_nobody_reads_stops_neither_answers_nor_the_stop(workers: str) -> None:
    """The pipe is full after some hundred answers; the service goes on, and ends at SIGTERM."""
    environment = os.environ | {"FORETELL_MODELS_DIR": str(MODELS), "FORETELL_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--workers", workers]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            url = next(
                found["url"] for line in process.stderr if "url" in (found := json.loads(line))
            )
            wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
            with httpx.Client(base_url=url, timeout=5) as client:
                for _ in range(1500):  # some 350 KB of lines
                    answer = client.post("/v1/heart/predict", json=ROW)
                    assert answer.status_code == 200, (url, answer.text)
                assert client.get("/livez").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == -signal.SIGTERM
        finally:
            process.kill()


@pytest.fixture(scope="module")
def loquacious() -> Iterator[Attacked]:
    """A service that logs everything it can, over HTTP and gRPC."""
    with serving(FORETELL_LOG_LEVEL="debug", FORETELL_GRPC_PORT="0") as attacked:
        yield attacked


def test_no_log_line_holds_a_value_or_a_column_of_a_row(loquacious: Attacked) -> None:
    """Every route is sent a planted text in every place; the log has it nowhere."""
    with httpx.Client(base_url=loquacious.url, timeout=30) as client:
        paths = client.get("/openapi.json").json()["paths"]
        sent = 0
        for path, methods in paths.items():
            for method in set(methods) & {"post", "get"}:
                for body, media in bodies():
                    answer = client.request(
                        method,
                        path.format(name="heart", version="1"),
                        content=body if method == "post" else None,
                        params={PLANTED: PLANTED, "model": PLANTED} if sent % 3 == 0 else None,
                        headers={"content-type": media, "accept": "*/*", "x-planted": PLANTED},
                    )
                    assert answer.status_code != 500, (path, media, answer.text[:300])
                    sent += 1
        assert sent > 200
    wait_until(lambda: len(loquacious.of("request")) >= sent)
    assert PLANTED not in loquacious.log.read_text()


def bodies() -> Iterator[tuple[bytes, str]]:
    """Yield bodies with the planted text as value, as field, and as something else than asked."""
    row = ROW | {"chol": PLANTED}
    yield json.dumps(row).encode(), "application/json"
    yield json.dumps(ROW | {PLANTED: 1}).encode(), "application/json"
    yield json.dumps([row, {PLANTED: [PLANTED]}]).encode(), "application/json"
    yield (
        json.dumps({"instances": [row], "columns": {"age": [PLANTED]}}).encode(),
        "application/json",
    )
    yield PLANTED.encode(), "application/json"
    tensor = {"name": PLANTED, "shape": [1, 13], "datatype": "FP32", "data": [PLANTED] * 13}
    yield json.dumps({"inputs": [tensor]}).encode(), "application/json"
    tensor |= {"name": "features", "datatype": "BYTES"}
    yield json.dumps({"inputs": [tensor], "parameters": {PLANTED: PLANTED}}).encode(), "text/plain"
    lines = [{"id": PLANTED, **ROW}] * 3000 + [{"id": PLANTED, **row}, {PLANTED: 1}]
    yield "\n".join(map(json.dumps, lines)).encode(), "application/x-ndjson"
    good = f"id,age,sex,cp\n{PLANTED},57,1,4\n"
    yield good.encode() * 1, "text/csv"
    yield (good + f"{PLANTED},{PLANTED},1,4\n").encode(), "text/csv"
    yield (good + f'{PLANTED},57,1,"{PLANTED}').encode(), "text/csv"
    yield f"{PLANTED},age,sex\n1,2\n{PLANTED},57,1,{PLANTED}\n".encode(), "text/csv"
    yield (good + f"{PLANTED},57,1,4\n" * 5000 + f"{PLANTED},57,1,0\n").encode(), "text/csv"
    table = pa.table({"age": [57, 58], "sex": [1, 0], PLANTED: [PLANTED, PLANTED]})
    for columns in (table, table.set_column(0, "age", pa.array([PLANTED, "57"]))):
        file = io.BytesIO()
        pq.write_table(columns, file)
        yield file.getvalue(), "application/vnd.apache.parquet"
        yield file.getvalue()[:-9], "application/vnd.apache.parquet"
        stream = io.BytesIO()
        with pa.ipc.new_stream(stream, columns.schema) as writer:
            writer.write_table(columns)
        yield stream.getvalue(), "application/vnd.apache.arrow.stream"
        yield stream.getvalue()[:-30], "application/vnd.apache.arrow.stream"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr(f"{PLANTED}.png", PLANTED)
    yield archive.getvalue(), "application/zip"
    yield PLANTED.encode(), "image/png"
    form = (
        f'--b\r\ncontent-disposition: form-data; name="{PLANTED}"; filename="{PLANTED}.png"\r\n\r\n'
    )
    yield f"{form}{PLANTED}\r\n--b--\r\n".encode(), "multipart/form-data; boundary=b"
