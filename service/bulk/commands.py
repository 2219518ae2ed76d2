"""`foretell predict` and `foretell score`. Imports that cost time wait until a command runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings.arguments import add_models_dir, add_task

if TYPE_CHECKING:
    from service.contract.task import Task


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `predict` and `score`."""
    predict = commands.add_parser("predict", help="answer without a server")
    add_task(predict)
    predict.add_argument("pictures", nargs="*", type=Path, help="pictures, for a task of pictures")
    predict.add_argument("--json", metavar="ROW", help="a row as JSON, or - for standard input")
    add_models_dir(predict)
    predict.set_defaults(run=run_predict, parser=predict)

    score = commands.add_parser("score", help="answer a whole file or folder without a server")
    add_task(score)
    score.add_argument(
        "input",
        type=Path,
        help="a table (.csv, .csv.gz, .ndjson, .json, .parquet, .arrow, .arrows); for a task of "
        "pictures a folder or zip file of pictures, or one picture",
    )
    score.add_argument("-o", "--output", type=Path, required=True, help="the file to write")
    score.add_argument("--model", metavar="NAME", help="another of the task's models")
    score.add_argument(
        "--on-error",
        choices=("refuse", "report"),
        help="bad rows: refuse everything (default for tables), or report them in a column `error` "
        "(default for pictures)",
    )
    add_models_dir(score)
    score.set_defaults(run=run_score)


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
