"""The recipes: one module per task, read from top to bottom, each declares `TRAINING`."""

import pkgutil
from importlib import import_module
from types import MappingProxyType

from training.recipe import TaskTraining


def _discover() -> dict[str, TaskTraining]:
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    trainings: list[TaskTraining] = [module.TRAINING for module in modules]
    return {training.task.name: training for training in trainings}


TASK_TRAININGS = MappingProxyType(_discover())
