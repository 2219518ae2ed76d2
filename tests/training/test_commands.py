"""`foretell train` and `foretell evaluate` as commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import main
from service.models.artifacts.artifact import read_artifact
from service.tasks.heart import TASK as HEART
from tests.artifacts import write_artifact, write_card
from training import cli
from training.recipes import TASK_TRAININGS


@pytest.mark.timeout(900)  # every network there is
def test_smoke_trains_and_exports_every_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every network fits synthetic data for one epoch, converts and repeats its answers."""
    models, results = tmp_path / "models", tmp_path / "results.md"
    to = ["--output", str(models), "--reports", str(tmp_path / "reports")]
    assert main(["train", "--all", "--smoke", *to]) == 0
    printed = capsys.readouterr().out
    assert main(["results", "--models-dir", str(models), "--output", str(results)]) == 0
    page = results.read_text(encoding="utf-8")
    assert "1 epoch in" in printed
    assert "1 epochs in" not in printed
    recipes = [recipe for training in TASK_TRAININGS.values() for recipe in training.recipes]
    for recipe in recipes:
        assert recipe in printed
        assert f" {recipe} |" in page or f" **{recipe}** |" in page
    assert len(list(tmp_path.glob("reports/*/1/index.html"))) == len(recipes)
    assert "1,871,882" in page
    assert "Not the published data" in page
    assert read_artifact(models, "digits").card.training.recipe == "cnn"
    assert read_artifact(models, "digits-deep").card.training.recipe == "deep"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one task (credit, digits, fashion, heart), or --all"),
        (["heart", "--all"], "name one task"),
        (["weather"], "unknown task 'weather'"),
        (["heart", "--recipe", "cnn"], "heart has no recipe 'cnn'; it has: mlp16"),
        (["--all", "--recipe", "cnn"], "--recipe goes with one task"),
        (["heart", "--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["heart", "--seed", "-1"], "--seed: expected 0 to 4294967295, got -1"),
        (["heart", "--seed", "4294967296"], "--seed: expected 0 to 4294967295, got 4294967296"),
        (["heart", "--smoke"], "--smoke makes models of made-up data: name a folder for them"),
        (["--all", "--smoke"], "--smoke makes models of made-up data: name a folder for them"),
        (["heart", "--output", "/proc/none"], "--output: /proc/none: No such file or directory"),
    ],
)
def test_wrong_usage_of_train_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message comes before any data are read."""
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_results_that_cannot_be_written_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the file and the reason, without a traceback."""
    page = tmp_path / "none" / "results.md"
    with pytest.raises(SystemExit) as ended:
        main(["results", "--output", str(page)])
    assert ended.value.code == 2
    assert f"--output: {page}: No such file or directory" in capsys.readouterr().err


def test_results_are_the_same_whatever_the_locale(tmp_path: Path) -> None:
    """The page has µ even where the terminal knows ASCII only."""
    page = tmp_path / "results.md"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = f"from service.cli import main; main(['results', '--output', {str(page)!r}])"
    subprocess.run([sys.executable, "-c", code], env=os.environ | ascii_only, check=True)
    assert "µs" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["confidence", "evaluate"])
def test_a_model_of_an_unknown_task_is_one_message(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the unknown task and the known ones, without a traceback."""
    models = tmp_path / "models"
    write_card(write_artifact(models, HEART), HEART, task="weather")
    reports = ["--reports", str(tmp_path / "reports")] if command == "evaluate" else []
    assert main([command, "--models-dir", str(models), *reports]) == 1
    assert "heart/1: unknown task 'weather'; there are: credit, " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["models", "evaluate", "results"])
def test_a_folder_without_models_is_a_failure(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands return 1 where there are no models, rather than pass."""
    reports = ["--reports", str(tmp_path / "reports")] if command == "evaluate" else []
    assert main([command, "--models-dir", str(tmp_path / "models"), *reports]) == 1
    assert "there are no models in" in capsys.readouterr().err


def test_missing_data_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the file, its home and where to put it, without a traceback."""
    to = ["--output", str(tmp_path), "--reports", str(tmp_path)]
    assert main(["train", "heart", "--data-dir", str(tmp_path), *to]) == 1
    error = capsys.readouterr().err
    assert error.startswith("foretell: ")
    assert "processed.cleveland.data" in error
    assert "archive.ics.uci.edu" in error


def test_without_training_installed_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`foretell train` in the serving environment names `make train`."""
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert main(["train", "heart"]) == 1
    assert "make train" in capsys.readouterr().err


def test_a_smoke_run_writes_reports_only_where_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page on synthetic data would replace the real model's of that name and version."""
    monkeypatch.chdir(tmp_path)
    train = ["train", "heart", "--recipe", "mlp16", "--smoke", "--output", "models"]
    assert main(train) == 0
    assert [folder.name for folder in tmp_path.iterdir()] == ["models"]
    assert main([*train, "--reports", "pages"]) == 0
    assert (tmp_path / "pages/heart-mlp16/2/index.html").is_file()


def test_a_model_trained_on_other_data_is_not_compared(
    tmp_path: Path, data_dir: Path | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluating a model of synthetic data on real data fails with a message."""
    reports = ["--reports", str(tmp_path / "reports")]
    models = tmp_path / "models"
    assert main(["train", "heart", "--smoke", "--output", str(models), *reports]) == 0
    data = [] if data_dir is None else ["--data-dir", str(data_dir)]
    assert main(["evaluate", "--models-dir", str(models), *reports, *data]) == 1
    assert "was trained on other data" in capsys.readouterr().err
