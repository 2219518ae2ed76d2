"""Two tasks outside the packages, as somebody adds them: files in folders, and nothing else.

tasks/signs.py      pictures of 32x32 in three classes
sign_pixels.py      its reader
recipes/signs.py    its training
tasks/stay.py       a number from a row: a kind of its own
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import service.tasks

FOLDER = Path(__file__).parent
NAMES = ("signs", "stay")


@contextmanager
def new_tasks() -> Iterator[None]:
    """Have the tasks of `tasks/` among the service's, and the reader where its name leads."""
    paths = ((service.tasks.__path__, FOLDER / "tasks"), (sys.path, FOLDER))
    for path, folder in paths:
        path.append(str(folder))
    service.tasks.discover()
    try:
        yield
    finally:
        for path, folder in paths:
            path.remove(str(folder))
        for name in NAMES:
            sys.modules.pop(f"service.tasks.{name}", None)
            vars(service.tasks).pop(name, None)
        service.tasks.discover()


@contextmanager
def new_recipes() -> Iterator[None]:
    """Have the recipe of `recipes/` among training's; inside `new_tasks`."""
    import training.recipes

    path, folder = training.recipes.__path__, str(FOLDER / "recipes")
    path.append(folder)
    training.recipes.discover()
    try:
        yield
    finally:
        path.remove(folder)
        sys.modules.pop("training.recipes.signs", None)
        vars(training.recipes).pop("signs", None)
        training.recipes.discover()
