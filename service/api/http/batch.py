"""POST /v1/{task}/predict/batch: a table in, the same rows with answers out."""

from collections.abc import Callable
from typing import Annotated, Any, cast, get_args

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.http.negotiation import given_format, wanted_format
from service.api.http.requests import header, state_of
from service.api.http.selection import (
    LabelChoice,
    ModelChoice,
    VersionChoice,
    select_model,
)
from service.api.http.streaming import BulkResponse
from service.api.http.table_options import table_options
from service.bulk.tables.formats import BY_MEDIA, JSON
from service.bulk.tables.job import BulkJob
from service.bulk.tables.options import TableOptions
from service.bulk.tables.scoring import BulkScoring, OnError, Reasons
from service.bulk.tables.spool import SETTING
from service.contract.messages import echo
from service.contract.rows import RowTask
from service.errors import (
    FieldProblem,
    InvalidPayload,
    PayloadTooLarge,
)
from service.models.runtime.loaded import LoadedModel


def batch_path(task: RowTask) -> str:
    """Return the path that takes a task's tables."""
    return f"/v1/{task.name}/predict/batch"


def batch_router(
    task: RowTask, main_reasons: Callable[[LoadedModel, int], Reasons] | None = None
) -> APIRouter:
    """Return the router of `POST /v1/<task>/predict/batch`.

    `main_reasons` makes the function to the reasons of decisions, where the task's kind has any.
    """

    async def batch(
        request: Request,
        options: Annotated[TableOptions, Depends(table_options(task))],
        model: ModelChoice = None,
        version: VersionChoice = None,
        label: LabelChoice = None,
        on_error: Annotated[
            str,
            Query(
                description="`refuse`: one bad row refuses the whole table, and every row of a "
                "200 is scored. `report`: bad rows have no probability, and an `error`.",
                json_schema_extra={"enum": list(get_args(OnError))},
            ),
        ] = "refuse",
    ) -> Response:
        state = state_of(request.scope)
        settings = state.settings
        given = given_format(request)
        wanted = wanted_format(header(request.scope, b"accept"), given)
        if on_error not in get_args(OnError):
            expected = " or ".join(get_args(OnError))
            raise InvalidPayload([FieldProblem("on_error", expected, echo(on_error))])
        limit = settings.max_bulk_bytes
        if int(request.headers.get("content-length") or 0) > limit:
            raise PayloadTooLarge(limit, SETTING)
        chosen = select_model(request, task.name)
        reasons = None
        if options.reasons:
            if main_reasons is None:
                problem = FieldProblem("reasons", "0 (this task has none)", str(options.reasons))
                raise InvalidPayload([problem])
            reasons = main_reasons(chosen, options.reasons)
        scoring = BulkScoring(task, chosen, cast(OnError, on_error), options, reasons)
        slots = state.pools.job_slots
        job = BulkJob(scoring, given, wanted, settings.spool_dir, slots.decoders)
        return BulkResponse(job, slots, state.counters, limit)

    router = APIRouter(tags=[task.name])
    router.add_api_route(
        batch_path(task),
        batch,
        methods=["POST"],
        name=f"{task.name} batch",
        summary=f"{task.title}: a whole table",
        description=_description(task),
        response_class=Response,
        responses={200: {"description": "The rows, scored", "content": _contents(task, True)}},
        openapi_extra={"requestBody": {"required": True, "content": _contents(task, False)}},
    )
    return router


def _description(task: RowTask) -> str:
    always, told = task.answer_columns(confidence=False), task.answer_columns(confidence=True)
    plain = ", ".join(f"`{column.name}`" for column in always)
    more = " and ".join(f"`{column.name}`" for column in told[len(always) :])
    and_more = f" and, where the model's card knows them, {more}" if more else ""
    decided_by = (
        "The headers `X-Model` and `X-Threshold` say what decided."
        if task.has_threshold
        else "The header `X-Model` says what answered."
    )
    return (
        f"{task.prediction.__doc__}\n\nThe content type says how the body is read, `Accept` how it "
        "is answered (by default the same). Columns go by name, in any order; those that are no "
        f"fields are carried through to the answer, beside {plain}{and_more}. " + decided_by
    )


def _contents(task: RowTask, answer: bool) -> dict[str, Any]:
    example: Any = task.payload.model_config.get("json_schema_extra") or {}
    row: dict[str, Any] = {"account": "0001"}
    answered = {column.name: column.example for column in task.answer_columns(confidence=True)}
    row |= answered if answer else example.get("example", {})
    schema: dict[str, Any] = {"type": "array", "items": {"type": "object"}, "example": [row]}
    binary = {"type": "string", "format": "binary"}
    return {
        form.media: {"schema": schema if form is JSON else binary} for form in BY_MEDIA.values()
    }
