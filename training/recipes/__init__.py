"""Recipes: one module for each task, read from top to bottom.

A module here that sets `TRAINING` can be trained.
"""

import pkgutil
from importlib import import_module
from types import MappingProxyType

from training.recipe import TaskTraining


def _discover() -> dict[str, TaskTraining]:
    modules = [import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    trainings: list[TaskTraining] = [module.TRAINING for module in modules]
    return {training.task.name: training for training in trainings}


TASK_TRAININGS = MappingProxyType(_discover())
"""The training of each task, by the task's name."""
