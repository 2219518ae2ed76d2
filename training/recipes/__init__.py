"""Recipes: one module for each task, read from top to bottom.

A module here that sets `TRAINING` can be trained.
"""

import pkgutil
from importlib import import_module
from types import MappingProxyType

from training.recipe import TaskTraining

_trainings: dict[str, TaskTraining] = {}
TASK_TRAININGS = MappingProxyType(_trainings)
"""The training of each task, by the task's name."""


def discover() -> None:
    """Fill `TASK_TRAININGS` from all modules that lie on this package's `__path__`.

    To be called again after a folder is added to that path.
    """
    modules = [import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    trainings: list[TaskTraining] = [module.TRAINING for module in modules]
    _trainings.clear()
    _trainings.update((training.task.name, training) for training in trainings)


discover()
