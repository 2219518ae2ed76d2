"""The typed predict route of a task of rows."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.api.http.fast_path import DeclaredOnly, answered_by
from service.api.http.requests import cancel_on_disconnect, read_call, require_json
from service.api.http.selection import (
    LabelChoice,
    ModelChoice,
    VersionChoice,
    select_model,
)
from service.contract.fields import Payload
from service.contract.messages import invalid_payload
from service.contract.parsing import reject_duplicate_keys
from service.contract.rows import RowTask


def row_router(task: RowTask) -> APIRouter:
    """Return `POST /v1/<task>/predict`: a row as a JSON object in, its answer out.

    It is documented with the task's own schemas.
    """
    payload_of = TypeAdapter(task.payload).validator.validate_json
    known = [feature.name for feature in task.features]

    async def answer(request: Request) -> bytes:
        require_json(request)
        body = await read_call(request)
        try:
            payload = payload_of(body)
        except ValidationError as error:
            raise invalid_payload(error.errors(include_url=False), known) from error
        reject_duplicate_keys(body, payload)
        served = select_model(request, task.name)
        values = task.values(payload)
        answering = served.answer_row(values)
        if served.may_block:
            answering = cancel_on_disconnect(request.receive, answering)
        return await answering

    def predict(
        payload: Payload,
        model: ModelChoice = None,
        version: VersionChoice = None,
        label: LabelChoice = None,
    ) -> BaseModel:
        raise DeclaredOnly

    predict.__annotations__["payload"] = task.payload
    predict.__doc__ = task.prediction.__doc__
    router = APIRouter(tags=[task.name], route_class=answered_by(answer))
    router.add_api_route(
        f"/v1/{task.name}/predict",
        predict,
        methods=["POST"],
        name=task.name,
        summary=f"{task.title}: one row",
        response_model=task.prediction,
    )
    return router
