"""Options that several training commands share, checked before anything is computed."""

import argparse
from pathlib import Path
from tempfile import TemporaryFile

from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS


def named_training(arguments: argparse.Namespace) -> TaskTraining:
    """Return the training of the named task; end the command if there is none."""
    if arguments.task not in TASK_TRAININGS:
        arguments.parser.error(
            f"unknown task {arguments.task!r}; there are: {', '.join(TASK_TRAININGS)}"
        )
    return TASK_TRAININGS[arguments.task]


def load_splits(training: TaskTraining, arguments: argparse.Namespace) -> DataSplits:
    """Load a task's data, or with `--smoke` synthetic data, and split them. Raises DataError."""
    data = training.synthetic() if arguments.smoke else training.load(arguments.data_dir)
    return training.prepare(data)


def check_epochs(arguments: argparse.Namespace) -> None:
    """End the command unless its epochs, if given, are at least one."""
    if arguments.epochs is not None and arguments.epochs < 1:
        arguments.parser.error(f"--epochs: expected at least 1, got {arguments.epochs}")


def check_seed(arguments: argparse.Namespace) -> None:
    """End the command unless its seed is in NumPy's range."""
    if not 0 <= arguments.seed < 2**32:
        arguments.parser.error(f"--seed: expected 0 to {2**32 - 1}, got {arguments.seed}")


def make_folder(arguments: argparse.Namespace, option: str) -> None:
    """Make the folder of an option, if given; end the command unless it can be written to.

    It fails now rather than after an hour of fitting.
    """
    folder: Path | None = getattr(arguments, option)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        arguments.parser.error(f"--{option}: {folder}: {error.strerror}")
