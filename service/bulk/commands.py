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
        help="a table (.csv, .tsv, .xlsx, .xls, .ods, .ndjson, .json, .parquet, .arrow, "
        ".arrows; of text also .gz and .zst); for a task of pictures a folder or zip file of "
        "pictures, or one picture",
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
    _add_table_options(score)
    score.set_defaults(run=run_score, parser=score)


def _add_table_options(score: argparse.ArgumentParser) -> None:
    """Add the options of a table; `service/bulk/tables/options.py` says what each may be."""
    tables = score.add_argument_group("tables")
    add = tables.add_argument
    add("--url", help="have the service at this URL score it, and check that its answer is whole")
    add(
        "--map",
        action="append",
        metavar="COLUMN=FIELD",
        help="read a column as a field, such as cholesterol=chol; several times for several",
    )
    add(
        "--ignore",
        action="append",
        metavar="COLUMN",
        help="leave a column unread that could be a measurement; * for every one",
    )
    add("--coding", metavar="NAME", help="the coding of the codes, such as kaggle for heart")
    add(
        "--label",
        dest="truth",
        metavar="COLUMN",
        help="the column that says what became true: prints AUC, log-loss, calibration and a "
        "confusion table",
    )
    add(
        "--keep",
        choices=("all", "others"),
        help="columns that come back: all (default), or those that are no fields",
    )
    add("--reasons", type=int, metavar="N", help="add the N main reasons of adverse decisions")
    add(
        "--formulas",
        choices=("escape", "keep"),
        help="cells of CSV that a spreadsheet would run: put a ' in front (default), or leave them",
    )
    add("--delimiter", metavar="NAME", help="comma, semicolon, tab, pipe or space (default: found)")
    add("--decimal", metavar="NAME", help="point or comma (default: found)")
    add("--encoding", metavar="NAME", help="such as cp1252 or utf-16 (default: found)")
    add("--header", choices=("names", "none"), help="none: there is no line of names")
    add("--sheet", metavar="NAME", help="of a workbook: its name or number")


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
