"""`foretell predict` and `foretell score`. Imports that cost time wait until one runs."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.settings.arguments import add_models_dir, add_task

if TYPE_CHECKING:
    from service.contract.fields import Payload
    from service.contract.tabular import TabularTask


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
    """Answer a row or pictures on the path of a request, without HTTP: a JSON object a line."""
    import numpy as np

    from service.contract.tabular import TabularTask
    from service.errors import PictureError, UnknownModel
    from service.models.versions.registry import ModelRegistry
    from service.settings.settings import read_settings
    from service.tasks import TASKS

    settings = read_settings(models_dir=arguments.models_dir)
    task = TASKS.get(arguments.task)
    if task is None:
        raise UnknownModel(arguments.task, list(TASKS))
    registry = ModelRegistry(settings.models_dir, TASKS, "cpu")
    served = registry.load_for(task.name)
    if isinstance(task, TabularTask):
        row = task.to_array([_row(arguments, task)])
        print(served.predict(row)[0].model_dump_json())
        return 0
    if not arguments.pictures or arguments.json:
        arguments.parser.error(f"{task.name} takes one or more pictures")
    failures = 0
    for path in arguments.pictures:
        try:
            picture = task.read(path.read_bytes(), max_pixels=settings.max_pixels)
        except (PictureError, OSError) as error:
            print(f"foretell: {path}: {error}", file=sys.stderr)
            failures += 1
            continue
        answer = served.predict(np.stack([picture]))[0].model_dump()
        print(json.dumps({"file": str(path)} | answer))
    return 1 if failures else 0


def _row(arguments: argparse.Namespace, task: "TabularTask") -> "Payload":
    """Return the row of `--json`. Raises InvalidPayload."""
    from pydantic import ValidationError

    from service.contract.messages import invalid_payload
    from service.contract.parsing import check_size, reject_duplicate_keys

    if arguments.json is None or arguments.pictures:
        arguments.parser.error(f"{task.name} takes a row: --json '{{…}}', or --json - for stdin")
    text = sys.stdin.read() if arguments.json == "-" else arguments.json
    body = check_size(text.encode())
    try:
        payload = task.payload.model_validate_json(body)
    except ValidationError as error:
        known = [feature.name for feature in task.features]
        raise invalid_payload(error.errors(), known) from error
    reject_duplicate_keys(body, payload)
    return payload


def run_score(arguments: argparse.Namespace) -> int:
    """Answer a table, or a folder of pictures, with a table of answers."""
    from service.contract.tabular import TabularTask
    from service.errors import UnknownModel
    from service.settings.settings import read_settings
    from service.tasks import TASKS

    settings = read_settings(models_dir=arguments.models_dir)
    task = TASKS.get(arguments.task)
    if task is None:
        raise UnknownModel(arguments.task, list(TASKS))
    usual = "refuse" if isinstance(task, TabularTask) else "report"
    on_error = arguments.on_error or usual
    given: dict[str, Any] = {"settings": settings, "model": arguments.model, "on_error": on_error}
    if isinstance(task, TabularTask):
        from service.bulk.tables.files import score_table

        return score_table(task, arguments.input, arguments.output, **given)
    from service.bulk.pictures.score import score_pictures

    scored = score_pictures(task, arguments.input, arguments.output, **given)
    total = scored.answered + scored.refused
    why = "; see the column error" if scored.refused else ""
    print(f"{arguments.output}: {scored.answered:,} of {total:,} answered{why}", file=sys.stderr)
    return 0
