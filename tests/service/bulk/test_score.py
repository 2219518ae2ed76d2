"""`foretell score`: a table in a file in, a file with answers out."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from service.bulk.tables.chunks import CHUNK_ROWS
from service.bulk.tables.formats import BY_SUFFIX
from service.cli import main
from tests.artifacts import graph_of, write_artifact
from tests.service.api.test_predict import ROWS as TABLES
from tests.service.bulk.test_tables import CSV, MEDIA, decoded, encoded, post
from tests.service.test_isolation import loaded_after

ROWS = [{"account": f"00{n}", "age": 30 + n, "sex": n % 2} for n in range(5)]
SUFFIXES = [*BY_SUFFIX, ".csv.gz", ".ndjson.gz"]


def write(file: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Rows in the format of a file's name."""
    suffix = "." + file.name.partition(".")[2]
    if suffix in (".arrow", ".feather"):
        feather.write_feather(pa.Table.from_pylist(rows), str(file))
        return file
    plain = suffix.removesuffix(".gz")
    content = encoded(BY_SUFFIX[plain].media, rows)
    file.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    return file


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of answers."""
    suffix = "." + file.name.partition(".")[2]
    if suffix in (".arrow", ".feather"):
        return list(pa.ipc.open_file(file.read_bytes()).read_all().to_pylist())
    content = file.read_bytes()
    if suffix.endswith(".gz"):
        content = gzip.decompress(content)
    return decoded(BY_SUFFIX[suffix.removesuffix(".gz")].media, content)


@pytest.fixture
def score(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FORETELL_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("FORETELL_DEVICE", "cpu")

    def run(table: Path, output: Path, *options: str, task: str = "heart") -> int:
        return main(["score", task, str(table), "-o", str(output), *options])

    return run


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_file_is_answered_as_http_answers_it(
    score: Any, client: TestClient, tmp_path: Path, suffix: str
) -> None:
    """Read by its suffix, written by the other's."""
    table = write(tmp_path / f"book{suffix}")
    by_http = decoded(CSV, post(client, CSV, encoded(CSV, ROWS)).content)
    for other in SUFFIXES:
        output = tmp_path / f"scored{other}"
        assert score(table, output, "--keep", "others") == 0
        assert read(output) == by_http
    assert not list(tmp_path.glob(".*"))


def test_an_arrow_stream_is_read_under_the_suffix_of_files(score: Any, tmp_path: Path) -> None:
    """Many write streams to `.arrow`."""
    table = write(tmp_path / "book.arrows").rename(tmp_path / "book.arrow")
    assert score(table, tmp_path / "scored.csv") == 0


def test_parts_that_were_scored_side_by_side_are_in_their_order(
    score: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many more parts than cores; the summary counts the rows."""
    count = 12 * CHUNK_ROWS + 5
    table = pa.table({"id": range(count), "age": [60] * count, "sex": [1] * count})
    pq.write_table(table, tmp_path / "book.parquet")
    assert score(tmp_path / "book.parquet", tmp_path / "scored.parquet") == 0
    assert pq.read_table(tmp_path / "scored.parquet")["id"].to_pylist() == list(range(count))
    assert f"{count:,} rows scored by heart/1" in capsys.readouterr().err


def test_bad_rows_leave_nothing_behind(
    score: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a problem, exit status 1, and an older file of answers stays as it was."""
    rows = [*ROWS, {"account": "x", "age": 630, "sex": 7}]
    table, output = write(tmp_path / "book.csv", rows), tmp_path / "scored.csv"
    output.write_text("of yesterday")
    assert score(table, output) == 1
    assert capsys.readouterr().err.splitlines() == [
        "foretell: row 6: age: expected a number from 18 to 120 (years), got 630",
        "foretell: row 6: sex: expected one of 0 (female), 1 (male), got 7",
        "foretell: 2 bad fields; nothing was written",
    ]
    assert output.read_text() == "of yesterday"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book.csv", "scored.csv"]


def test_bad_rows_can_be_reported(
    score: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a column, and their number at the end."""
    table = write(tmp_path / "book.csv", [*ROWS, {"account": "x", "age": 630, "sex": 1}])
    assert score(table, tmp_path / "scored.json", "--on-error", "report") == 0
    *good, bad = json.loads((tmp_path / "scored.json").read_text())
    assert all(row["error"] is None for row in good)
    assert (bad["probability"], bad["error"]) == (
        None,
        "age: expected a number from 18 to 120 (years), got 630",
    )
    assert "5 of 6 rows scored by heart/1" in (said := capsys.readouterr().err)
    assert "the others say why in the column error" in said


def test_a_table_of_bad_rows_alone_is_a_failure(
    score: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was scored: the exit status and the summary say so; the file has the reasons."""
    table = write(tmp_path / "book.csv", [{"age": 630, "sex": 1}, {"age": 640, "sex": 1}])
    assert score(table, tmp_path / "scored.json", "--on-error", "report") == 1
    assert "0 of 2 rows scored by heart/1" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "scored.json").read_text())) == 2


def test_another_model_of_the_task_scores(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name; one of another task does not."""
    heart = next(task for task in TABLES if task.name == "heart")
    write_artifact(tmp_path, heart)
    write_artifact(tmp_path, heart, name="heart-other", graph=graph_of(heart, bias=3))
    monkeypatch.setenv("FORETELL_MODELS_DIR", str(tmp_path))
    table = write(tmp_path / "book.csv")
    answers = []
    for model in ("heart", "heart-other"):
        output = tmp_path / f"{model}.csv"
        assert main(["score", "heart", str(table), "-o", str(output), "--model", model]) == 0
        answers.append(read(output)[0]["probability"])
    assert answers[0] < answers[1]


@pytest.mark.parametrize(
    ("table", "output", "options", "message"),
    [
        ("none.csv", "scored.csv", [], "none.csv: No such file or directory"),
        ("book.csv", "no/folder.csv", [], "no/folder.csv: No such file or directory"),
        ("book.csv", "book.csv", [], "expected another file than the table itself"),
        ("book.csv", "scored.docx", [], "expected a name that ends in one of .json, .ndjson"),
        ("book", "scored.csv", [], "expected a name that ends in one of .json, .ndjson"),
        ("book.csv", "scored.parquet.gz", [], "Parquet is compressed inside"),
        ("folder.csv", "scored.csv", [], "folder.csv: Is a directory"),
        ("false.csv.gz", "scored.csv", [], "damaged or incomplete gzip"),
        ("cut.csv.gz", "scored.csv", [], "damaged or incomplete gzip"),
        ("two.arrows", "scored.csv", [], "expected nothing behind its end"),
        ("bytes.parquet", "scored.json", [], "hash: expected finite numbers and text in UTF-8"),
        ("far.parquet", "scored.csv", [], "day: expected a column that fits into CSV"),
        ("far.parquet", "scored.ndjson", [], "day: expected a column that fits into JSON"),
        ("book.csv", "scored.csv", ["--model", "credit"], "no model 'credit' of heart"),
        ("book.csv", "scored.csv", ["--model", "none"], "no model 'none'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    score: Any,
    tmp_path: Path,
    table: str,
    output: str,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line names the problem, the exit status is 1, and nothing is left behind."""
    write(tmp_path / "book.csv")
    (tmp_path / "book").touch()
    (tmp_path / "folder.csv").mkdir()
    write(tmp_path / "book.csv").replace(tmp_path / "book.csv")
    (tmp_path / "false.csv.gz").write_bytes(b"\x1f\x8bage,sex\n60,1\n")
    whole = write(tmp_path / "cut.csv.gz").read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-12])
    stream = write(tmp_path / "two.arrows")
    stream.write_bytes(stream.read_bytes() * 2)
    row = {"age": [60], "sex": [1]}
    pq.write_table(pa.table(row | {"hash": [b"\xff"]}), tmp_path / "bytes.parquet")
    day = pa.array([2**30], pa.date32())
    pq.write_table(pa.table(row | {"day": day}), tmp_path / "far.parquet")
    before = sorted(tmp_path.iterdir())
    assert score(tmp_path / table, tmp_path / output, *options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_usage_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2: where the answers go has to be said."""
    with pytest.raises(SystemExit) as ended:
        main(["score", "heart", "book.csv"])
    assert ended.value.code == 2
    assert "-o/--output" in capsys.readouterr().err


def test_a_terminal_has_a_bar(score: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar shows progress, rows and rows a second, and is removed at the end."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert score(write(tmp_path / "book.csv"), tmp_path / "scored.csv") == 0
    drawn, _, rest = terminal.getvalue().partition("\r\x1b[K")
    assert "[" in drawn
    assert "5 rows" in drawn
    assert "5 rows scored by heart/1" in rest


def test_no_server_is_needed() -> None:
    """Nor is one loaded."""
    loaded = loaded_after("import service.bulk.tables.files")
    assert not loaded.intersection({"uvicorn", "httptools", "pyarrow"})


def test_media_types_are_the_formats_of_http() -> None:
    """Each has a suffix too."""
    assert set(MEDIA) < {form.media for form in BY_SUFFIX.values()}
