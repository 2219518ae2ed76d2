"""`foretell score`."""

import argparse
import sys
from typing import Any


def run_score(arguments: argparse.Namespace) -> int:
    """`foretell score`: a table or a folder of pictures in, a table of answers out."""
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
