"""Tasks, one module each: every module here that sets `TASK` is served without further entries."""

import pkgutil
from importlib import import_module
from types import MappingProxyType

from service.contract.task import Task


def _discover() -> dict[str, Task]:
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    tasks: list[Task] = [module.TASK for module in modules]
    return {task.name: task for task in tasks}


TASKS = MappingProxyType(_discover())
