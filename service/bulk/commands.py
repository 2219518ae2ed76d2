"""`foretell predict` and `foretell score`. Imports that cost time wait until a command runs."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.contract.task import Task


def run_predict(arguments: argparse.Namespace) -> int:
    """Answer one row or some pictures on the path of a request; one JSON object a line."""
    from service.bulk.task_commands import predict_with
    from service.settings.settings import read_settings

    settings = read_settings(models_dir=arguments.models_dir)
    return predict_with(_task(arguments), arguments, settings)


def run_score(arguments: argparse.Namespace) -> int:
    """Answer a table or a folder of pictures with a table of answers."""
    from service.bulk.task_commands import score_with
    from service.settings.settings import read_settings

    settings = read_settings(models_dir=arguments.models_dir)
    return score_with(_task(arguments), arguments, settings)


def _task(arguments: argparse.Namespace) -> "Task":
    """Return the task that is named. Raises UnknownModel."""
    from service.errors import UnknownModel
    from service.tasks import TASKS

    task = TASKS.get(arguments.task)
    if task is None:
        raise UnknownModel(arguments.task, list(TASKS))
    return task
