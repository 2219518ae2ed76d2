"""`foretell score --url` and the end of an answer, and the reasons beside answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.cli import main
from tests.service.bulk.test_tables import CSV, NDJSON
from tests.service.server.test_serving import Service, serving

MODELS = Path(__file__).resolve().parents[3] / "models"
ILL = {"age": 67, "sex": 1, "cp": 4, "oldpeak": 2.6, "ca": 2, "thal": 7}
WELL = {"age": 41, "sex": 0, "cp": 2}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(MODELS) as running:
        yield running


class Proxy(BaseHTTPRequestHandler):
    """A proxy that ends an answer in good order where the service cut it off, as Caddy 2.6 does."""

    url = ""
    bytes_left = 0

    def do_POST(self) -> None:  # the name is http.server's
        """Pass the call on; keep the first bytes of the answer, or all that come."""
        # Of a body in chunks, each has its length before it.
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        names = ("Content-Type", "Accept")
        headers = {name: self.headers[name] for name in names}
        taken = b""
        with httpx.stream("POST", self.url + self.path, content=body, headers=headers) as answer:
            try:
                for block in answer.iter_bytes():
                    taken += block
            except httpx.RemoteProtocolError:
                pass
        self.send_response(answer.status_code)
        self.send_header("x-model", answer.headers.get("x-model", ""))
        self.end_headers()
        self.wfile.write(taken[: self.bytes_left or None])

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # http.server's
        """Log nothing."""


@pytest.fixture
def proxy(service: Service) -> Iterator[str]:
    Proxy.url, Proxy.bytes_left = service.url, 0
    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "suffix", [".csv", ".tsv", ".ndjson", ".json", ".parquet", ".arrows", ".xlsx"]
)
def test_a_service_scores_a_file_as_the_command_does(
    service: Service, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers in every format, without the record of the end."""
    monkeypatch.setenv("FORETELL_MODELS_DIR", str(MODELS))
    table = tmp_path / "table.csv"
    table.write_text("id,age,sex,bp\n1,57,1,140\n2,61,0,\n")
    here, there = tmp_path / f"here{suffix}", tmp_path / f"there{suffix}"
    assert main(["score", "heart", str(table), "-o", str(here)]) == 0
    assert main(["score", "heart", str(table), "-o", str(there), "--url", service.url]) == 0
    if suffix != ".xlsx":  # which says when it was written
        assert there.read_bytes() == here.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".json"])
def test_an_answer_that_was_cut_off_is_no_file(
    proxy: str, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind a proxy that ends it in good order: the last line says why, and nothing is written."""
    table, output = tmp_path / "table.csv", tmp_path / f"scored{suffix}"
    table.write_text("age,sex\n" + "57,1\n" * 100_000 + "x\n")
    options = ["--url", proxy, "--on-error", "report", "--keep", "others"]
    assert main(["score", "heart", str(table), "-o", str(output), *options]) == 1
    assert "row 100001: expected 2 cells" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".json", ".parquet", ".arrows"])
def test_an_answer_without_its_end_is_no_file(
    proxy: str, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was cut between two rows, without a word."""
    table, output = tmp_path / "table.csv", tmp_path / f"scored{suffix}"
    table.write_text("age,sex\n" + "57,1\n" * 100)
    Proxy.bytes_left = 300
    assert main(["score", "heart", str(table), "-o", str(output), "--url", proxy]) == 1
    assert "cut off and nothing was written" in capsys.readouterr().err
    assert not output.exists()


def test_a_refusal_of_a_service_is_told_with_what_would_settle_it(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names them as options of the command."""
    table = tmp_path / "table.csv"
    table.write_text("age,sex,cp\n57,1,0\n")
    output = str(tmp_path / "scored.csv")
    assert main(["score", "heart", str(table), "-o", output, "--url", service.url]) == 1
    said = capsys.readouterr().err
    assert "cp 0 in row 1" in said
    assert "try --coding kaggle" in said
    assert main(["score", "heart", str(table), "-o", output, "--url", "http://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize("media", [CSV, NDJSON])
def test_reasons_are_those_of_explanations(service: Service, media: str) -> None:
    """An adverse decision has the main ones, in the words of /explain; any other has none."""
    explained = httpx.post(f"{service.url}/v1/heart/explain", json=ILL).json()
    assert len(explained["reasons"]) >= 2
    lines = "".join(json.dumps(row) + "\n" for row in (ILL, WELL, ILL | {"age": 500}))
    answer = httpx.post(
        f"{service.url}/v1/heart/predict/batch?reasons=2&on_error=report",
        content=lines,
        headers={"Content-Type": NDJSON, "Accept": media},
    )
    assert answer.status_code == 200, answer.text
    if media == NDJSON:
        ill, well, bad = map(json.loads, answer.text.splitlines())
        assert [ill["reason_1"], ill["reason_2"]] == explained["reasons"][:2]
        assert (well["reason_1"], bad["reason_1"]) == (None, None)
    else:
        names, ill, *_ = answer.text.splitlines()
        assert names.endswith("in_distribution,reason_1,reason_2,error")
        assert ",".join(explained["reasons"][:2]) in ill.replace('"', "")


def test_reasons_are_a_few(service: Service) -> None:
    """Each takes its time."""
    path = f"{service.url}/v1/heart/predict/batch?reasons=6"
    answer = httpx.post(path, content="age,sex\n57,1\n", headers={"Content-Type": CSV})
    assert answer.status_code == 422
    assert "a whole number from 0 to 5" in answer.json()["detail"]
