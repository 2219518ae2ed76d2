"""`foretell train` and `foretell evaluate` as commands."""

from pathlib import Path

import pytest

from service.artifact import read_artifact
from service.cli import main
from training import cli


@pytest.mark.timeout(900)  # every network there is
def test_smoke_trains_and_exports_every_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made-up data, one epoch each: every network fits, converts and repeats its answers."""
    models, results = tmp_path / "models", tmp_path / "results.md"
    to = ["--output", str(models), "--reports", str(tmp_path / "reports")]
    assert main(["train", "--all", "--smoke", *to]) == 0
    printed = capsys.readouterr().out
    assert main(["results", "--models", str(models), "--output", str(results)]) == 0
    page = results.read_text()
    for recipe in (
        "mlp16",
        "mlp16-ensemble",
        "logistic",
        "mlp-ensemble",
        "mlp-ensemble-blind",
        "softmax",
        "dense32",
        "deep",
        "dropout",
        "batchnorm",
        "cnn",
        "dense",
    ):
        assert f"{recipe}" in printed
        assert f" {recipe} |" in page or f" **{recipe}** |" in page
    assert len(list(tmp_path.glob("reports/*/1/index.html"))) == 11
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
        (["heart", "--output", "/proc/none"], "--output: /proc/none: No such file or directory"),
    ],
)
def test_wrong_usage_of_train_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any data are read."""
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["models", "evaluate", "results"])
def test_a_folder_without_models_is_a_failure(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model differs from its card where there is none; that must not pass for success."""
    option = "--models-dir" if command == "models" else "--models"
    reports = ["--reports", str(tmp_path / "reports")] if command == "evaluate" else []
    assert main([command, option, str(tmp_path / "models"), *reports]) == 1
    assert "there are no models in" in capsys.readouterr().err


def test_missing_data_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file, its home and where to put it; no traceback."""
    to = ["--output", str(tmp_path), "--reports", str(tmp_path)]
    assert main(["train", "heart", "--data-dir", str(tmp_path), *to]) == 1
    error = capsys.readouterr().err
    assert error.startswith("foretell: ")
    assert "processed.cleveland.data" in error
    assert "archive.ics.uci.edu" in error


def test_without_training_installed_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the serving environment `foretell train` explains itself."""
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert main(["train", "heart"]) == 1
    assert "make train" in capsys.readouterr().err


def test_a_model_trained_on_other_data_is_not_compared(
    tmp_path: Path, data_dir: Path | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures of made-up data mean nothing on real data: evaluate says so and fails."""
    reports = ["--reports", str(tmp_path / "reports")]
    models = tmp_path / "models"
    assert main(["train", "heart", "--smoke", "--output", str(models), *reports]) == 0
    data = [] if data_dir is None else ["--data-dir", str(data_dir)]
    assert main(["evaluate", "--models", str(models), *reports, *data]) == 1
    assert "was trained on other data" in capsys.readouterr().err
