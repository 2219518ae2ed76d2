"""The explain routes: Shapley values of a row, and a heat map of a picture."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from service.api.http.fast_path import DeclaredOnly, answered_by
from service.api.http.picture_upload import documented_body, one_picture, pixels_payload
from service.api.http.requests import read_call, require_json, state_of
from service.api.http.selection import (
    LabelChoice,
    ModelChoice,
    VersionChoice,
    select_model,
)
from service.contract.fields import Payload
from service.contract.image import ImageTask
from service.contract.messages import invalid_payload
from service.contract.parsing import reject_duplicate_keys
from service.contract.tabular import TabularTask
from service.contract.task import Task
from service.errors import FieldProblem, InvalidPayload
from service.explain.answers import Explanation, HeatMap
from service.explain.explain import background_of, explain, heat_map, place_of

MOST_ROWS = 16
COUNTS = {"too_short": "none", "too_long": "more"}

SplitChoice = Annotated[
    str | None,
    Query(
        description="A factor of several fields whose share is split among them as well: "
        "`repayment` of credit, say. With one row only."
    ),
]


def explain_row_router(task: TabularTask) -> APIRouter:
    """Return `POST /v1/<task>/explain`: rows in, Shapley values and reasons out."""
    rows_type: Any = Annotated[
        list[task.payload],  # type: ignore[name-defined]
        Field(min_length=1, max_length=MOST_ROWS),
    ]
    one, many = TypeAdapter(task.payload), TypeAdapter(rows_type)
    known = [feature.name for feature in task.features]

    async def answer(request: Request) -> bytes:
        require_json(request)
        body = await read_call(request)
        several = body.lstrip(b" \t\r\n").startswith(b"[")
        try:
            payloads = many.validate_json(body) if several else [one.validate_json(body)]
        except ValidationError as error:
            failures = error.errors(include_url=False)
            # pydantic gives up a list that is too long there: its length is not known.
            if got := {COUNTS[f["type"]] for f in failures if f["type"] in COUNTS}:
                problem = FieldProblem("body", f"1 to {MOST_ROWS} rows", got.pop())
                raise InvalidPayload([problem]) from error
            raise invalid_payload(failures, known) from error
        reject_duplicate_keys(body, *payloads)
        split = _split(request, task, len(payloads))
        served, queue = select_model(request, task.name), state_of(request.scope).pools.explanations
        background_of(served)
        rows = task.to_array(payloads)
        answers = await queue.submit(lambda: [explain(task, served, row, split) for row in rows])
        return to_json(answers) if several else answers[0].model_dump_json().encode()

    def declared(
        payload: Payload,
        split: SplitChoice = None,
        model: ModelChoice = None,
        version: VersionChoice = None,
        label: LabelChoice = None,
    ) -> Explanation:
        raise DeclaredOnly

    declared.__annotations__["payload"] = task.payload | rows_type
    return _router(
        task,
        answer,
        declared,
        summary=f"{task.title}: why",
        description=f"Exact Shapley values of one row, or of a list of up to {MOST_ROWS}, reasons "
        "in words, and what would turn an adverse decision. See docs/use/explanations.md.",
        response_model=Explanation | list[Explanation],
    )


def explain_picture_router(task: ImageTask) -> APIRouter:
    """Return `POST /v1/<task>/explain`: a picture in, a heat map out."""

    async def answer(request: Request) -> bytes:
        served, queue = select_model(request, task.name), state_of(request.scope).pools.explanations
        picture = await one_picture(request, task)
        shown = await queue.submit(partial(heat_map, task, served, picture))
        return shown.model_dump_json().encode()

    def declared(
        model: ModelChoice = None, version: VersionChoice = None, label: LabelChoice = None
    ) -> HeatMap:
        raise DeclaredOnly

    return _router(
        task,
        answer,
        declared,
        summary=f"{task.title}: which parts of a picture",
        description="A heat map of one picture, which is sent as to predict.",
        response_model=HeatMap,
        openapi_extra={"requestBody": documented_body(pixels_payload(task.size))},
    )


def _router(task: Task, answer: Any, declared: Any, **documented: Any) -> APIRouter:
    router = APIRouter(tags=[task.name], route_class=answered_by(answer))
    path, name = f"/v1/{task.name}/explain", f"{task.name}_explain"
    router.add_api_route(path, declared, methods=["POST"], name=name, **documented)
    return router


def _split(request: Request, task: TabularTask, rows: int) -> str | None:
    split = request.query_params.get("split")
    if split is not None:
        place_of(task, split)
        if rows > 1:
            raise InvalidPayload([FieldProblem("split", "one row with it", f"{rows} rows")])
    return split
