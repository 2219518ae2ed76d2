"""Errors as HTTP answers: problem details (RFC 9457), their only form outside /v2."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from service.api.http.requests import request_id
from service.api.status import status_of
from service.contract.messages import MOST_PROBLEMS
from service.errors import (
    FieldProblem,
    ForetellError,
    InvalidPayload,
    InvalidRows,
    QueueError,
    UnfitCoding,
    UnfitColumns,
)

MEDIA_TYPE = "application/problem+json"
# RFC 9110's names, which Python has from 3.13 on.
RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}
DESCRIPTIONS = {
    400: "Not JSON, or not a form, at all",
    403: "Without the key of FORETELL_ADMIN_KEY",
    404: "No model of this name, or none of this task",
    406: "No format that `Accept` allows",
    408: "Nothing was sent, or taken, for too long",
    409: "The folder of models does not allow it: read-only, no version to go back to, or no "
    "reference rows to explain with",
    413: "Larger than the service takes in",
    415: "A content type, or a Content-Encoding, that this route does not read",
    422: "Fields or pictures that cannot be answered; `errors` lists every bad field",
    503: "The model is not ready, or too many calls wait",
    507: "No room on disk for the answers",
}
"""Descriptions for /docs, by status."""


class FieldError(BaseModel):
    """One bad field."""

    field: str = Field(examples=["trestbps"])
    expected: str = Field(examples=["a number from 50 to 300 (mm Hg), or 0 for not recorded"])
    got: str = Field(examples=['"high"'])


class Problem(BaseModel):
    """An error, for people and for programs (RFC 9457)."""

    type: str = Field("about:blank", description="Always about:blank: `title` tells the status")
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=['trestbps: expected a number from 50 to 300 (mm Hg), got "high"'])
    errors: list[FieldError] = Field([], description="Every bad field of the body")
    request_id: str = Field(description="Also in the X-Request-ID header and in the service's log")


class RowError(FieldError):
    """One bad field of one row."""

    row: int = Field(description="The first row of data is row 1", examples=[3])


class RowsProblem(Problem):
    """Bad rows of a table."""

    errors: list[RowError] = Field(  # type: ignore[assignment]  # each of them says more
        [], description=f"The first {MOST_PROBLEMS} bad fields"
    )
    count: int = Field(description="How many bad fields there are", examples=[1])


class TableProblem(Problem):
    """A table whose columns or codes do not fit."""

    suggestions: list[str] = Field(
        description="Query parameters, by which the table could be read",
        examples=[["map=resting bp=trestbps", "ignore=ward"]],
    )


def problem(
    status: int, detail: str, request_id: str, fields: Sequence[FieldProblem] = ()
) -> Problem:
    """Return the problem of an answer with this status."""
    return Problem(
        title=RENAMED.get(status, HTTPStatus(status).phrase),
        status=status,
        detail=detail,
        errors=[FieldError(field=f.field, expected=f.expected, got=f.got) for f in fields],
        request_id=request_id,
    )


def problem_of(error: ForetellError, request_id: str) -> Problem:
    """Return the problem of a domain error, by the table of statuses."""
    status, detail = status_of(error).http, str(error)
    if isinstance(error, InvalidRows):
        return rows_problem(error, request_id)
    if isinstance(error, UnfitColumns | UnfitCoding):
        fields = error.problems[:MOST_PROBLEMS] if isinstance(error, UnfitColumns) else ()
        facts = problem(status, detail, request_id, fields)
        return TableProblem(**facts.model_dump(), suggestions=error.suggestions[:MOST_PROBLEMS])
    if not isinstance(error, InvalidPayload):
        return problem(status, detail, request_id)
    if error.count > MOST_PROBLEMS:
        detail = f"{error.count} problems; errors lists the first {MOST_PROBLEMS}"
    return problem(status, detail, request_id, error.problems[:MOST_PROBLEMS])


def rows_problem(error: InvalidRows, request_id: str) -> RowsProblem:
    """Return the first problems of a table's rows, and how many there are."""
    detail, listed = str(error), error.problems[:MOST_PROBLEMS]
    facts = problem(status_of(error).http, detail, request_id).model_dump(exclude={"errors"})
    rows = [RowError(row=p.row, field=p.field, expected=p.expected, got=p.got) for p in listed]
    return RowsProblem(**facts, errors=rows, count=error.count)


def refusal(error: ForetellError, request_id: str) -> Response:
    """Return a domain error as an HTTP answer."""
    headers = {"Retry-After": retry_after(error)} if isinstance(error, QueueError) else None
    return problem_response(problem_of(error, request_id), headers)


def retry_after(error: ForetellError) -> str:
    """Return the whole seconds after which another try may succeed, for a header."""
    return str(max(1, ceil(error.retry_seconds)) if isinstance(error, QueueError) else 1)


def problem_response(body: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as an HTTP answer; 503 has a Retry-After."""
    retry = {"Retry-After": "1"} if body.status == 503 else {}
    return Response(
        body.model_dump_json(),
        status_code=body.status,
        media_type=MEDIA_TYPE,
        headers=retry | dict(headers or {}),
    )


def crash_message(request_id: str) -> str:
    """Return the detail of a crash: nothing of the inside, and where the rest is."""
    return f"an error in the service, not in your request; the log has request_id {request_id}"


async def write_problem(
    scope: Scope, receive: Receive, send: Send, status: int, detail: str
) -> None:
    """Answer a request with a problem."""
    answer = problem_response(problem(status, detail, scope["state"]["request_id"]))
    await answer(scope, receive, send)


def add_handlers(framework: FastAPI) -> None:
    """Have FastAPI answer every error with a problem, and document them; leave it no crash."""
    framework.add_exception_handler(ForetellError, _domain_error)
    framework.add_exception_handler(HTTPException, _http_error)
    framework.add_exception_handler(Exception, _crash)
    generate = framework.openapi

    def openapi() -> dict[str, Any]:
        # FastAPI collects the schemas of JSON answers only, not of problem+json.
        schema = generate()
        _, problem_schema = models_json_schema(
            [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        schema["components"]["schemas"] |= problem_schema["$defs"]
        return schema

    framework.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForetellError)
    return refusal(error, request_id(request))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}; /docs lists what there is"
    elif error.status_code == 405:
        detail = f"{request.url.path} does not answer {request.method}"
    body = problem(error.status_code, detail, request_id(request))
    return problem_response(body, error.headers)


async def _crash(_: Request, error: Exception) -> Response:
    # FastAPI would answer in plain text; the front door logs every crash and answers it.
    raise error


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems of these statuses, for the `responses` of a route in /docs."""
    reference = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": reference}}
    return {
        status: {"description": DESCRIPTIONS[status], "content": content} for status in statuses
    }
