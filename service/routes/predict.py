"""The typed predict route of each task."""

from fastapi import APIRouter, Depends, Request, Response

from service.contract import Payload
from service.errors import UnsupportedMediaType
from service.repository import Repository
from service.routes.choice import ModelChoice
from service.routes.pictures import picture_router
from service.task import TabularTask, Task


def predict_router(task: Task) -> APIRouter:
    """`POST /v1/<task>/predict`, documented with the task's own schemas."""
    return tabular_router(task) if isinstance(task, TabularTask) else picture_router(task)


async def json_only(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body is declared as JSON.

    `async` although it waits for nothing: FastAPI sends other dependencies to a thread.
    """
    declared = request.headers.get("content-type")
    media = (declared or "").partition(";")[0].strip().lower()
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        raise UnsupportedMediaType(declared, ["application/json"])


def tabular_router(task: TabularTask) -> APIRouter:
    """A row as a JSON object in, its probability and decision out."""

    async def predict(payload: Payload, request: Request, model: ModelChoice = None) -> Response:
        repository: Repository = request.app.state.repository
        served = repository.choose(task.name, model)
        answer = served.predict(task.to_array([payload]))[0]
        # Validated when it was made; FastAPI would do so again, and twice over.
        return Response(answer.model_dump_json(), media_type="application/json")

    predict.__annotations__["payload"] = task.payload
    predict.__doc__ = task.prediction.__doc__
    router = APIRouter(tags=[task.name])
    router.add_api_route(
        f"/v1/{task.name}/predict",
        predict,
        methods=["POST"],
        name=task.name,
        summary=f"{task.title}: one row",
        response_model=task.prediction,
        dependencies=[Depends(json_only)],
    )
    return router
