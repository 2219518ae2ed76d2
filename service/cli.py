"""The `foretell` command: collects the commands of the rooms.

A room declares its commands in `add_commands`; every import that costs time waits until one runs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from typing import Any

from service.bulk.commands import add_commands as add_predict_and_score
from service.models.commands import add_commands as add_models
from service.server.commands import add_commands as add_serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return 0 for success, 1 for a failure that it explained, 2 for wrong usage.

    130 after Ctrl-C; 141 if the reader of standard output has closed it.
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
            raise  # the error is another file's
        if isinstance(lost, BrokenPipeError):
            return 141
        print(f"foretell: standard output: {lost.strerror}", file=sys.stderr)
        return 1


def _lost_output() -> OSError | None:
    """Return the reason why standard output takes no more, or None. Redirect it if so."""
    try:
        print(flush=True)  # an empty line: where nothing is buffered, nothing is left to flush
    except OSError as error:
        # Python flushes once more as it ends, and would print the error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def _main_reasons(*arguments: Any) -> Any:
    from service.explain.reasons import main_reasons

    return main_reasons(*arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foretell", description="Train, export and serve neural networks."
    )
    parser.add_argument("--version", action="version", version=version("foretell"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for add_commands in (add_serve, add_predict_and_score, add_models):
        add_commands(commands)
    # Tables and explanations are rooms of their own: only here both are known.
    commands.choices["score"].set_defaults(main_reasons=_main_reasons)
    for entry in entry_points(group="foretell.commands"):
        entry.load()(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
