"""Arguments that several commands of `foretell` take, with their help texts."""

import argparse
import pkgutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def task_names() -> str:
    """Return the names of all tasks in words, from the files in `service/tasks/`.

    Importing them would load NumPy, which `foretell --help` does without.
    """
    spec = find_spec("service.tasks")
    folders = spec.submodule_search_locations if spec else None
    *names, last = sorted(module.name for module in pkgutil.iter_modules(folders))
    return f"{', '.join(names)} or {last}" if names else last


def add_task(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add the positional argument `task`; `options` are argparse's own."""
    parser.add_argument("task", help=task_names(), **options)


def add_models_dir(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add `--models-dir`, a path that wins over FORETELL_MODELS_DIR; `options` are argparse's."""
    text = "folder of models (FORETELL_MODELS_DIR)"
    parser.add_argument("--models-dir", type=Path, help=text, **options)
