"""The `foretell` command. Every import that costs time waits until its command runs."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

from service.bulk.commands import run_score
from service.models.commands import add_models
from service.server.commands import run_serve

if TYPE_CHECKING:
    from service.contract.fields import Payload
    from service.contract.tabular import TabularTask


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 for success, 1 for a failure it explained, 2 for wrong usage.

    130 after Ctrl-C, and 141 where whoever reads its output wants no more of it.
    """
    from service.errors import ForetellError

    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        status = int(chosen.run(chosen))
        print(end="", flush=True)
        return status
    except ForetellError as error:
        print(f"foretell: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError:
        if (lost := _lost_output()) is None:
            raise  # it was another file's
        if isinstance(lost, BrokenPipeError):
            return 141
        print(f"foretell: standard output: {lost.strerror}", file=sys.stderr)
        return 1


def _lost_output() -> OSError | None:
    """Why standard output takes no more, if it does not; then it is let go of."""
    try:
        print(flush=True)  # an empty line: where nothing is buffered, nothing is left to flush
    except OSError as error:
        # Python would try once more as it ends, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foretell", description="Train, export and serve neural networks."
    )
    parser.add_argument("--version", action="version", version=version("foretell"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="start the service")
    serve.add_argument("--host", help="address to listen on (FORETELL_HOST)")
    serve.add_argument("--port", type=int, help="port to listen on (FORETELL_PORT)")
    serve.add_argument("--grpc-port", type=int, help="port for gRPC (FORETELL_GRPC_PORT)")
    serve.add_argument("--workers", type=int, help="processes that answer (FORETELL_WORKERS)")
    serve.add_argument("--models-dir", type=Path, help="folder of models (FORETELL_MODELS_DIR)")
    serve.add_argument("--device", choices=("auto", "cpu", "cuda"), help="(FORETELL_DEVICE)")
    serve.set_defaults(run=run_serve)

    predict = commands.add_parser("predict", help="answer without a server")
    predict.add_argument("task", help="heart, credit, digits or fashion")
    predict.add_argument("pictures", nargs="*", type=Path, help="pictures, for digits and fashion")
    predict.add_argument("--json", metavar="ROW", help="a row as JSON, or - for standard input")
    predict.add_argument("--models-dir", type=Path, help="folder of models (FORETELL_MODELS_DIR)")
    predict.set_defaults(run=run_predict, parser=predict)

    score = commands.add_parser("score", help="answer a whole file or folder without a server")
    score.add_argument("task", help="heart, credit, digits or fashion")
    score.add_argument(
        "input",
        type=Path,
        help="a table (.csv, .csv.gz, .ndjson, .json, .parquet, .arrow, .arrows)"
        "; for digits and fashion a folder or zip file of pictures, or one picture",
    )
    score.add_argument("-o", "--output", type=Path, required=True, help="the file to write")
    score.add_argument("--model", metavar="NAME", help="another of the task's models")
    score.add_argument(
        "--on-error",
        choices=("refuse", "report"),
        help="bad rows: refuse everything (default for tables), or report them in a column `error` "
        "(default for pictures)",
    )
    score.add_argument("--models-dir", type=Path, help="folder of models (FORETELL_MODELS_DIR)")
    score.set_defaults(run=run_score)

    add_models(commands)

    for entry in entry_points(group="foretell.commands"):
        entry.load()(commands)
    return parser


def run_predict(arguments: argparse.Namespace) -> int:
    """`foretell predict`: the path of a request, without HTTP; one JSON object a line."""
    import numpy as np

    from service.contract.tabular import TabularTask
    from service.errors import PictureError, UnknownModel
    from service.models.versions.loader import ModelLoader
    from service.settings.settings import read_settings
    from service.tasks import TASKS

    settings = read_settings(models_dir=arguments.models_dir)
    task = TASKS.get(arguments.task)
    if task is None:
        raise UnknownModel(arguments.task, list(TASKS))
    model = ModelLoader(settings.models_dir, TASKS, "cpu").load_for_task(task.name)
    if isinstance(task, TabularTask):
        row = task.to_array([_row(arguments, task)])
        print(model.predict(row)[0].model_dump_json())
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
        answer = model.predict(np.stack([picture]))[0].model_dump()
        print(json.dumps({"file": str(path)} | answer))
    return 1 if failures else 0


def _row(arguments: argparse.Namespace, task: "TabularTask") -> "Payload":
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


if __name__ == "__main__":
    sys.exit(main())
