"""Folders and zip files of pictures, without a server."""

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.bulk.pictures.score import AT_A_TIME, WORTH_PROCESSES, Scored, score_pictures
from service.cli import main
from service.errors import ForetellError, InvalidPayload, UnknownModel, UnreadableArchive
from service.settings.settings import Settings
from service.tasks.digits import TASK as DIGITS
from service.tasks.fashion import TASK as FASHION
from tests.service.api.test_pictures import encoded, seven

SEVEN = encoded(seven())
BLANK = encoded(np.full((50, 50), 255, np.uint8))


@pytest.fixture
def settings(models_dir: Path) -> Settings:
    return Settings(models_dir=models_dir, device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in folders, one that is blank, one that is none, and what a Mac adds."""
    here = tmp_path / "pictures"
    (here / "deep" / "er").mkdir(parents=True)
    (here / "__MACOSX").mkdir()
    (here / "b.png").write_bytes(SEVEN)
    (here / "deep" / "er" / "a.jpg").write_bytes(encoded(seven(), "JPEG"))
    (here / "c.png").write_bytes(BLANK)
    (here / "notes.txt").write_text("not a picture")
    (here / ".DS_Store").write_bytes(b"x")
    (here / "__MACOSX" / "b.png").write_bytes(SEVEN)
    return here


NAMES = ["b.png", "c.png", "deep/er/a.jpg", "notes.txt"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_table_with_a_row_a_picture(
    folder: Path, tmp_path: Path, settings: Settings, client: TestClient
) -> None:
    """By name, in whatever folders; the numbers are those of the service."""
    output = tmp_path / "digits.csv"
    assert score_pictures(DIGITS, folder, output, settings=settings) == Scored(2, 2)
    rows = rows_of(output)
    probabilities = [f"p{digit}" for digit in range(10)]
    assert list(rows[0]) == [
        "file",
        "digit",
        "probability",
        *probabilities,
        "in_distribution",
        "error",
    ]
    assert [row["file"] for row in rows] == NAMES
    answer = client.post("/v1/digits/predict", files={"file": ("b.png", SEVEN)}).json()
    assert int(rows[0]["digit"]) == answer["digit"]
    assert float(rows[0]["probability"]) == answer["probability"]
    assert [float(rows[0][name]) for name in probabilities] == answer["probabilities"]
    assert rows[0]["error"] == ""
    assert "not a picture in any of" in rows[3]["error"]
    assert rows[3]["digit"] == rows[3]["probability"] == rows[3]["p0"] == ""
    assert list(tmp_path.iterdir()) in ([folder, output], [output, folder])


def test_a_zip_file_gives_the_rows_of_the_folder_in_it(
    folder: Path, tmp_path: Path, settings: Settings
) -> None:
    """Folders, leavings and all."""
    packed = tmp_path / "pictures.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    tables = []
    for source in (folder, packed):
        score_pictures(DIGITS, source, tmp_path / "out.csv", settings=settings)
        tables.append(rows_of(tmp_path / "out.csv"))
    assert tables[0] == tables[1]


def test_one_picture_is_a_table_of_one_row(tmp_path: Path, settings: Settings) -> None:
    """Named as the file is."""
    (tmp_path / "seven.png").write_bytes(SEVEN)
    score_pictures(DIGITS, tmp_path / "seven.png", tmp_path / "o.csv", settings=settings)
    assert [row["file"] for row in rows_of(tmp_path / "o.csv")] == ["seven.png"]


def test_lines_of_json_leave_out_what_is_not_there(
    folder: Path, tmp_path: Path, settings: Settings
) -> None:
    """An answer has no `error`, an error no answer; garments go by their names."""
    output = tmp_path / "garments.ndjson"
    score_pictures(FASHION, folder, output, settings=settings)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["file"] for row in rows] == NAMES
    assert rows[0]["garment"] in FASHION.labels
    assert rows[0]["probability"] == max(rows[0][f"p_{label}"] for label in FASHION.labels)
    assert "error" not in rows[0]
    assert set(rows[3]) == {"file", "error"}


def test_parquet_has_numbers_as_numbers(folder: Path, tmp_path: Path, settings: Settings) -> None:
    """float32 as the model answered, and null where there is no answer."""
    parquet = pytest.importorskip("pyarrow.parquet")
    for task, kind in ((DIGITS, "int64"), (FASHION, "string")):
        output = tmp_path / "out.parquet"
        score_pictures(task, folder, output, settings=settings)
        table = parquet.read_table(output)
        assert table.column("file").to_pylist() == NAMES
        assert str(table.schema.field(task.answer).type) == kind
        assert str(table.schema.field("probability").type) == "float"
        assert table.column(task.answer).to_pylist()[3] is None
        assert table.column("error").to_pylist()[0] is None


def test_several_processes_give_what_one_gives(tmp_path: Path, settings: Settings) -> None:
    """In order; how far they are is told up to the last picture."""
    here = tmp_path / "many"
    here.mkdir()
    for i in range(WORTH_PROCESSES):
        (here / f"{i:04}.png").write_bytes(encoded(seven(60 + i % 50)) if i % 9 else BLANK)
    told: list[tuple[int, int]] = []
    tables = []
    for processes in (1, 2):
        scored = score_pictures(
            DIGITS,
            here,
            tmp_path / "out.csv",
            settings=settings,
            processes=processes,
            progress=lambda done, total: told.append((done, total)),
        )
        assert scored.answered + scored.refused == WORTH_PROCESSES
        tables.append((tmp_path / "out.csv").read_text())
    assert tables[0] == tables[1]
    assert told[-1] == (WORTH_PROCESSES, WORTH_PROCESSES)
    assert told[0] == (AT_A_TIME, WORTH_PROCESSES)


def test_refusing_leaves_what_was_there(folder: Path, tmp_path: Path, settings: Settings) -> None:
    """Every bad picture is named, and an earlier table is not touched."""
    output = tmp_path / "out.csv"
    output.write_text("before")
    with pytest.raises(InvalidPayload) as refused:
        score_pictures(DIGITS, folder, output, settings=settings, on_error="refuse")
    assert [problem.field for problem in refused.value.problems] == ["c.png", "notes.txt"]
    assert output.read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.csv", "pictures"]


def test_the_table_of_an_earlier_run_is_not_a_picture(folder: Path, settings: Settings) -> None:
    """Written into the very folder that is read."""
    for _ in range(2):
        assert score_pictures(DIGITS, folder, folder / "out.csv", settings=settings).refused == 2


def test_what_cannot_be_opened_is_a_row(tmp_path: Path, settings: Settings) -> None:
    """A broken link is no file; a file without a right to read it has its error."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "link.png").symlink_to(here / "nowhere")
    (here / os.fsdecode(b"b\xff.png")).write_bytes(SEVEN)
    (here / "huge.png").write_bytes(b"")
    os.truncate(here / "huge.png", 2**30 + 1)
    score_pictures(DIGITS, here, tmp_path / "out.csv", settings=settings)
    rows = rows_of(tmp_path / "out.csv")
    assert [(row["file"], row["error"]) for row in rows] == [
        ("b\ufffd.png", ""),
        ("huge.png", "larger than any picture"),
    ]


def test_wrong_inputs_and_outputs_are_explained(tmp_path: Path, settings: Settings) -> None:
    """The message names what was expected and what came."""
    picture, empty, torn = tmp_path / "a.png", tmp_path / "empty", tmp_path / "torn.zip"
    picture.write_bytes(SEVEN)
    empty.mkdir()
    torn.write_bytes(b"PK\x03\x04" + bytes(100))
    output = tmp_path / "out.csv"
    wrong: list[tuple[Path, Path, dict[str, Any], type[ForetellError], str]] = [
        (tmp_path / "no", output, {}, InvalidPayload, "nothing at"),
        (empty, output, {}, InvalidPayload, "no files in"),
        (torn, output, {}, UnreadableArchive, "not a zip file"),
        (picture, tmp_path / "out.xlsx", {}, InvalidPayload, r"\.csv, \.ndjson, \.parquet"),
        (picture, tmp_path / "no" / "out.csv", {}, InvalidPayload, "can be written"),
        (picture, picture / "out.csv", {}, InvalidPayload, "can be written"),
        (picture, output, {"on_error": "ignore"}, InvalidPayload, "refuse or report"),
        (picture, output, {"model": "heart"}, UnknownModel, "no model 'heart' of digits"),
        (picture, output, {"model": "nothing"}, UnknownModel, "nothing"),
    ]
    for source, to, options, error, words in wrong:
        with pytest.raises(error, match=words):
            score_pictures(DIGITS, source, to, settings=settings, **options)
    assert not output.exists()


def test_the_command_reports_pictures_that_are_none_unless_told_to_refuse(
    folder: Path,
    tmp_path: Path,
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder has notes and thumbnails in it; a table has rows that somebody meant."""
    monkeypatch.setenv("FORETELL_MODELS_DIR", str(models_dir))
    output = tmp_path / "digits.csv"
    command = ["score", "digits", str(folder), "-o", str(output)]
    assert main([*command, "--on-error", "refuse"]) == 1
    assert not output.exists()
    assert "notes.txt" in capsys.readouterr().err
    assert main(command) == 0
    assert f"{output}: 2 of 4 answered; see the column error" in capsys.readouterr().err
    assert [row["file"] for row in rows_of(output)] == NAMES
