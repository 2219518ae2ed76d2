"""The routes of a task, by its kind: the only place of this room that tells kinds apart."""

from dataclasses import dataclass
from functools import partial, singledispatch

from fastapi import APIRouter

from service.api.http.batch import batch_path, batch_router
from service.api.http.explain import explain_picture_router, explain_row_router
from service.api.http.pictures import picture_router
from service.api.http.predict import row_router
from service.contract.image import ImageTask
from service.contract.rows import RowTask
from service.contract.tabular import TabularTask
from service.contract.task import Task
from service.explain.reasons import main_reasons


@dataclass(frozen=True)
class TaskRoutes:
    """The routers of one task; None where its kind has no such call."""

    predict: APIRouter
    batch: APIRouter | None = None
    batch_path: str | None = None
    explain: APIRouter | None = None


@singledispatch
def routes_of(task: Task) -> TaskRoutes:
    """Return the routes of a task, those of the nearest base that is registered here.

    Raises TypeError for a kind without any.
    """
    raise TypeError(f"task {task.name!r}: no routes for its kind, {type(task).__name__}")


@routes_of.register
def _row_routes(task: RowTask) -> TaskRoutes:
    return TaskRoutes(row_router(task), batch_router(task), batch_path(task))


@routes_of.register
def _tabular_routes(task: TabularTask) -> TaskRoutes:
    return TaskRoutes(
        row_router(task),
        batch_router(task, partial(main_reasons, task)),
        batch_path(task),
        explain_row_router(task),
    )


@routes_of.register
def _picture_routes(task: ImageTask) -> TaskRoutes:
    return TaskRoutes(picture_router(task), explain=explain_picture_router(task))
