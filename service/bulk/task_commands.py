"""`foretell predict` and `foretell score` by the kind of the task.

The only place of this room that tells kinds apart.
"""

import argparse
import json
import sys
from functools import singledispatch

import numpy as np
from pydantic import ValidationError

from service.bulk.pictures.score import score_pictures
from service.bulk.tables.formats import NDJSON
from service.bulk.tables.options import NAMES, TableOptions, parse_options
from service.bulk.tables.scoring import OnError
from service.contract.fields import Payload
from service.contract.image import ImageTask
from service.contract.messages import invalid_payload
from service.contract.parsing import check_size, reject_duplicate_keys
from service.contract.rows import RowTask
from service.contract.task import Task
from service.errors import PictureError
from service.models.versions.loader import ModelLoader
from service.settings.settings import Settings
from service.tasks import TASKS


@singledispatch
def predict_with(task: Task, arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the answers of a task's model to what the arguments name; return the exit status."""
    raise TypeError(f"task {task.name!r}: no predict command for {type(task).__name__}")


@predict_with.register
def _predict_row(task: RowTask, arguments: argparse.Namespace, settings: Settings) -> int:
    served = ModelLoader(settings.models_dir, TASKS, "cpu").load_for_task(task.name)
    row = task.to_array([_row(arguments, task)])
    print(served.predict(row)[0].model_dump_json())
    return 0


def _row(arguments: argparse.Namespace, task: RowTask) -> Payload:
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


@predict_with.register
def _predict_pictures(task: ImageTask, arguments: argparse.Namespace, settings: Settings) -> int:
    served = ModelLoader(settings.models_dir, TASKS, "cpu").load_for_task(task.name)
    if not arguments.pictures or arguments.json:
        arguments.parser.error(f"{task.name} takes one or more pictures")
    failures = 0
    for path in arguments.pictures:
        try:
            picture = task.read(
                path.read_bytes(),
                max_pixels=settings.max_pixels,
                max_bytes=settings.picture_bytes,
            )
        except (PictureError, OSError) as error:
            print(f"foretell: {path}: {error}", file=sys.stderr)
            failures += 1
            continue
        answer = served.predict(np.stack([picture]))[0].model_dump()
        print(json.dumps({"file": str(path)} | answer))
    return 1 if failures else 0


@singledispatch
def score_with(task: Task, arguments: argparse.Namespace, settings: Settings) -> int:
    """Score the input of the arguments into their output; return the exit status."""
    raise TypeError(f"task {task.name!r}: no score command for {type(task).__name__}")


@score_with.register
def _score_table(task: RowTask, arguments: argparse.Namespace, settings: Settings) -> int:
    from service.bulk.tables.files import TableFiles, score_by_service, score_table  # PyArrow

    given = [(name, text) for name in NAMES for text in _texts(arguments, name)]
    files = TableFiles.named(arguments.input, arguments.output)
    chosen: list[tuple[str, str]]
    on_error: OnError = arguments.on_error or "refuse"
    # A file's owner wants the file back, with the answers in it, and may open it in a spreadsheet.
    options = parse_options(task, given, TableOptions(keep="all", formulas="escape"))
    if arguments.url:
        if options.truth and files.wanted is not NDJSON:
            arguments.parser.error("with --url, --label takes its figures from .ndjson: write that")
        chosen = [("on_error", on_error), ("keep", options.keep), ("formulas", options.formulas)]
        chosen += [("model", arguments.model)] if arguments.model else []
        chosen += [each for each in given if each[0] not in dict(chosen)]
        return score_by_service(arguments.url, task.name, files, chosen)
    return score_table(
        task,
        files,
        settings=settings,
        model_name=arguments.model,
        on_error=on_error,
        options=options,
        main_reasons=arguments.main_reasons,
    )


def _texts(arguments: argparse.Namespace, name: str) -> list[str]:
    """Return the values of an option of tables, as text; some may be given several times."""
    given = getattr(arguments, name, None)
    return given if isinstance(given, list) else [] if given is None else [str(given)]


@score_with.register
def _score_pictures(task: ImageTask, arguments: argparse.Namespace, settings: Settings) -> int:
    if any(getattr(arguments, name, None) is not None for name in ("url", *NAMES)):
        arguments.parser.error(f"{task.name} takes pictures: options of tables are for rows")
    scored = score_pictures(
        task,
        arguments.input,
        arguments.output,
        settings=settings,
        model=arguments.model,
        on_error=arguments.on_error or "report",
    )
    total = scored.answered + scored.refused
    why = "; see the column error" if scored.refused else ""
    print(f"{arguments.output}: {scored.answered:,} of {total:,} answered{why}", file=sys.stderr)
    return 1 if total and not scored.answered else 0
