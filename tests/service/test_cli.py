"""The `foretell` command without a server."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.cli import main
from service.models.artifacts.artifact import CARD
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.api.test_pictures import encoded, seven


def test_predict_says_what_http_says(
    client: TestClient, models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same row, the same answer."""
    row = {"age": 60, "sex": 1, "cp": 3}
    arguments = ["predict", "heart", "--json", json.dumps(row), "--models-dir", str(models_dir)]
    assert main(arguments) == 0
    by_command = json.loads(capsys.readouterr().out)
    assert by_command == client.post("/v1/heart/predict", json=row).json()


def test_predict_reads_a_row_from_standard_input(
    models_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json -` for pipes."""
    monkeypatch.setattr("sys.stdin", io.StringIO('{"age": 60, "sex": 1}'))
    assert main(["predict", "heart", "--json", "-", "--models-dir", str(models_dir)]) == 0
    assert "probability" in json.loads(capsys.readouterr().out)


def test_predict_answers_each_picture_and_goes_on_after_a_bad_one(
    models_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a picture, in order; a bad or missing file is named, and the exit status tells."""
    good, bad, last = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    good.write_bytes(encoded(seven()))
    bad.write_bytes(b"not a picture")
    Image.fromarray(np.rot90(seven())).save(last)
    pictures = [str(path) for path in (good, bad, tmp_path / "none.png", last)]
    assert main(["predict", "digits", *pictures, "--models-dir", str(models_dir)]) == 1
    output = capsys.readouterr()
    assert [json.loads(line)["file"] for line in output.out.splitlines()] == [str(good), str(last)]
    assert str(bad) in output.err
    assert "none.png" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "heart", "--json", '{"age": "x"}'], "age: expected a number from 18 to 120"),
        (["predict", "weather", "--json", "{}"], "no model 'weather'; there are: credit, digits"),
        (["models", "--models-dir", "/nowhere"], "there are no models in /nowhere"),
    ],
)
def test_failures_are_one_line(
    arguments: list[str],
    message: str,
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line names the problem, and the exit status is 1."""
    monkeypatch.setenv("FORETELL_MODELS_DIR", str(models_dir))
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["predict"], ["predict", "heart"], ["fly"]])
def test_wrong_usage_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and the usage."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: foretell" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "score"])
def test_help_names_every_task(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one that was added a moment ago: the list is not written down."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    *names, last = sorted(TASKS)
    assert f"{', '.join(names)} or {last}" in shown


def test_a_broken_card_is_named_and_the_other_models_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One damaged model hides no other; the exit status tells."""
    write_artifact(tmp_path, TASKS["credit"])
    (write_artifact(tmp_path, TASKS["heart"]) / CARD).write_text("{}")
    assert main(["models", "--models-dir", str(tmp_path)]) == 1
    output = capsys.readouterr()
    assert output.out.startswith("credit")
    assert "heart/1: card.json is not a card" in output.err


def test_models_are_listed(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Name, version, recipe and metrics."""
    assert main(["models", "--models-dir", str(models_dir)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [[name, "1", "test"] for name in sorted(TASKS)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_finds_no_room_is_one_line(
    models_dir: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1, and no traceback."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        ended = listed(models_dir, full.fileno())
    assert ended.returncode == 1
    assert ended.stderr == "foretell: standard output: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_wants_is_no_failure_to_speak_of(
    models_dir: Path, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed pipe (`foretell models | head -1`) ends the command with status 141, silently."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    ended = listed(models_dir, write)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (128 + 13, "")


def listed(models_dir: Path, output: int) -> "subprocess.CompletedProcess[str]":
    """The models, in a process whose output goes there."""
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "models", "--models-dir", str(models_dir)],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


def test_errors_of_other_files_are_not_taken_for_those_of_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are bugs, and shown as such."""

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("service.settings.settings.read_settings", broken)
    with pytest.raises(BrokenPipeError):
        main(["predict", "heart", "--json", "{}"])
