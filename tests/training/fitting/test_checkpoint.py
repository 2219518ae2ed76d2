"""Checkpoints: a fit that was killed and started again ends with the same weights."""

import hashlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.cli import main
from service.models.artifacts.folder import list_models
from training.fitting import checkpoint
from training.fitting.checkpoint import (
    STATE,
    State,
    checkpoint_folder,
    count_kept_epochs,
    forget,
    keep_exported,
    read_exported,
)
from training.fitting.fit import fit
from training.recipes import TASK_TRAININGS

HEART = TASK_TRAININGS["heart"]


def fitting(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.training.fitting.small_fit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.timeout(900)  # four processes that import TensorFlow, two of which fit
@pytest.mark.parametrize(
    ("case", "steps"),
    [
        ("stopping", 13),  # the third epoch of five steps
        ("stopping", 17),
        ("members", 12),
        ("pictures", 12),
    ],
)
def test_a_fit_that_was_killed_goes_on_to_the_same_weights(
    case: str, steps: int, tmp_path: Path
) -> None:
    """A fit killed in the middle of an epoch ends with the same weights, bit for bit.

    Both run in processes of their own, with the same data and seed.
    """
    whole, resumed, kept = tmp_path / "whole", tmp_path / "resumed", tmp_path / "kept"
    uninterrupted = fitting(case, whole)
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    killed = fitting(case, resumed, kept, steps)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = count_kept_epochs(kept)
    assert done == steps // 5
    again = fitting(case, resumed, kept)
    assert again.returncode == 0, again.stderr
    assert f"an interrupted run goes on after epoch {done} of 5" in again.stdout
    assert again.stdout.splitlines()[-1] == uninterrupted.stdout.splitlines()[-1]
    assert sha256(resumed) == sha256(whole)


def test_a_fit_that_had_stopped_early_does_not_go_on(tmp_path: Path) -> None:
    """A fit killed between its last epoch and the export runs no further epoch."""
    data = HEART.prepare(HEART.synthetic())
    recipe = replace(HEART.recipes["mlp16"], patience=1)
    folder = tmp_path / "kept"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 0.0)
        first = fit(HEART, recipe, data, epochs=60, quiet=True, checkpoint=folder)
    assert first.epochs < 60
    second = fit(HEART, recipe, data, epochs=60, quiet=True, checkpoint=folder)
    assert second.history == first.history
    for one, other in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "another network"])
def test_a_damaged_state_is_a_warning_and_the_fit_starts_again(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A state that a full disk or another program damaged is not used and is no crash."""
    data = HEART.prepare(HEART.synthetic())
    recipe = HEART.recipes["mlp16"]
    good = State(1, False, 1.0, {"loss": [1.0]}, {}, [np.zeros(3)], [])
    good.write(tmp_path)
    state = tmp_path / STATE
    content = state.read_bytes()
    if damage != "another network":
        state.write_bytes(
            {"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}[damage]
        )
        assert count_kept_epochs(tmp_path) == 0
    assert fit(HEART, recipe, data, epochs=1, quiet=True, checkpoint=tmp_path).epochs == 1
    assert "cannot be used" in caplog.text


def test_states_are_written_every_few_seconds_only(tmp_path: Path) -> None:
    """A fit of two epochs, shorter than EVERY, writes no state."""
    data = HEART.prepare(HEART.synthetic())
    fit(HEART, HEART.recipes["mlp16"], data, epochs=2, quiet=True, checkpoint=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_another_fit_has_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name holds everything that decides the weights: recipe, seed, epochs, data, code."""
    data = HEART.prepare(HEART.synthetic())
    other = replace(data, fingerprint="0" * 64)
    folders = [
        checkpoint_folder(tmp_path, HEART, "mlp16", data, 0, 5),
        checkpoint_folder(tmp_path, HEART, "mlp16-ensemble", data, 0, 5),
        checkpoint_folder(tmp_path, HEART, "mlp16", data, 1, 5),
        checkpoint_folder(tmp_path, HEART, "mlp16", data, 0, 6),
        checkpoint_folder(tmp_path, HEART, "mlp16", other, 0, 5),
    ]
    assert checkpoint_folder(tmp_path, HEART, "mlp16", data, 0, 5) == folders[0]
    monkeypatch.setattr(checkpoint, "code_hash", lambda: "edited")
    folders.append(checkpoint_folder(tmp_path, HEART, "mlp16", data, 0, 5))
    assert len(set(folders)) == len(folders)


def test_what_is_kept_is_no_model_and_is_removed(tmp_path: Path) -> None:
    """The service does not list the folder, and it is removed with its last fit."""
    folder = tmp_path / ".training" / "heart-0123"
    State(1, False, 1.0, {"loss": [1.0]}, {}, [np.zeros(3)], []).write(folder)
    assert list_models(tmp_path) == []
    assert count_kept_epochs(folder) == 1
    keep_exported(folder, "3")
    assert read_exported(folder) == "3"
    assert count_kept_epochs(folder) == 0
    forget(folder)
    assert read_exported(folder) is None
    assert list(tmp_path.iterdir()) == []


def test_a_command_started_again_does_not_fit_what_it_had_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted command reuses the exported version; `--restart` fits again."""
    train = ["train", "heart", "--smoke", "--recipe", "mlp16", "--output", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("training.train.forget", lambda folder: None)  # killed just before
        assert main(train) == 0
    assert main(train) == 0
    assert "an interrupted run has written it: heart-mlp16/1" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heart-mlp16"]
    assert main([*train, "--restart"]) == 0
    versions = sorted(path.name for path in (tmp_path / "heart-mlp16").iterdir())
    assert versions == ["1", "2"]


@pytest.mark.timeout(900)
def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(tmp_path: Path) -> None:
    """Ctrl-C gives exit status 130 and one line; the same command finishes and tidies up."""
    train = ["train", "heart", "--smoke", "--epochs", "5", "--output", str(tmp_path)]
    code = (
        "import os, signal, sys\n"
        "from service.cli import main\n"
        "from training.fitting import checkpoint\n"
        # A shell's background jobs, and their children, ignore SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "checkpoint.EVERY, write = 0.0, checkpoint.State.write\n"
        "def interrupted(state, folder):\n"
        "    write(state, folder)\n"
        "    if 'interrupt' in sys.argv and state.epochs == 2:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "checkpoint.State.write = interrupted\n"
        f"sys.exit(main({train!r}))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.run([*command, "interrupt"], capture_output=True, text=True)
    errors = process.stderr
    assert process.returncode == 130, errors
    assert "interrupted; the same command goes on after epoch 2 of 5" in errors
    assert "Traceback" not in errors
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "an interrupted run goes on after epoch 2 of 5" in again.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heart"]
