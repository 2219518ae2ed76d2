"""Tasks, one module each: every module here that sets `TASK` is served without further entries."""

import pkgutil
from importlib import import_module
from types import MappingProxyType

from service.contract.task import Task

_tasks: dict[str, Task] = {}
TASKS = MappingProxyType(_tasks)
"""Every task by its name."""


def discover() -> None:
    """Fill `TASKS` with the tasks of all modules that lie on this package's `__path__`.

    To be called again after a folder is added to that path.
    """
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    tasks: list[Task] = [module.TASK for module in modules]
    _tasks.clear()
    _tasks.update((task.name, task) for task in tasks)


discover()
