"""One module per task, read from top to bottom. A module here that sets `COURSE` can be trained."""

import pkgutil
from importlib import import_module
from types import MappingProxyType

from training.recipe import Course


def _discover() -> dict[str, Course]:
    modules = (
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    courses: list[Course] = [module.COURSE for module in modules]
    return {course.task.name: course for course in courses}


COURSES = MappingProxyType(_discover())
