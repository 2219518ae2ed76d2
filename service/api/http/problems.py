"""Errors as HTTP: the one table of statuses, and problem details (RFC 9457) as their only form."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil

from fastapi import Response
from pydantic import BaseModel, Field

from service.api.status import STATUS
from service.contract.messages import MOST_PROBLEMS
from service.errors import FieldProblem, ForetellError, InvalidPayload, InvalidRows, QueueError

MEDIA_TYPE = "application/problem+json"
# RFC 9110's names, which Python has from 3.13 on.
RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}


class FieldError(BaseModel):
    """One bad field."""

    field: str = Field(examples=["trestbps"])
    expected: str = Field(examples=["a number from 50 to 300 (mm Hg), or 0 for not recorded"])
    got: str = Field(examples=['"high"'])


class Problem(BaseModel):
    """What went wrong, for people and for programs (RFC 9457)."""

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


def problem(
    status: int, detail: str, request_id: str, fields: Sequence[FieldProblem] = ()
) -> Problem:
    """The problem of an answer with this status."""
    return Problem(
        title=RENAMED.get(status, HTTPStatus(status).phrase),
        status=status,
        detail=detail,
        errors=[FieldError(field=f.field, expected=f.expected, got=f.got) for f in fields],
        request_id=request_id,
    )


def problem_of(error: ForetellError, request_id: str) -> Problem:
    """The problem of a domain error, by the table."""
    status, detail = STATUS[type(error)], str(error)
    if isinstance(error, InvalidRows):
        return rows_problem(error, request_id)
    if not isinstance(error, InvalidPayload):
        return problem(status, detail, request_id)
    if error.count > MOST_PROBLEMS:
        detail = f"{error.count} problems; errors lists the first {MOST_PROBLEMS}"
    return problem(status, detail, request_id, error.problems[:MOST_PROBLEMS])


def rows_problem(error: InvalidRows, request_id: str) -> RowsProblem:
    """Return the first problems of a table's rows, and how many there are."""
    detail, listed = str(error), error.problems[:MOST_PROBLEMS]
    if error.count > len(listed):
        detail = f"{error.count} problems; errors lists the first {len(listed)}"
    elif len(listed) > 1:
        detail = f"{len(listed)} problems; errors lists them"
    facts = problem(STATUS[InvalidRows], detail, request_id).model_dump(exclude={"errors"})
    rows = [RowError(row=p.row, field=p.field, expected=p.expected, got=p.got) for p in listed]
    return RowsProblem(**facts, errors=rows, count=error.count)


def refusal(error: ForetellError, request_id: str) -> Response:
    """A domain error as an HTTP answer."""
    headers = {"Retry-After": retry_after(error)} if isinstance(error, QueueError) else None
    return problem_response(problem_of(error, request_id), headers)


def retry_after(error: ForetellError) -> str:
    """Whole seconds after which it is worth trying again, for a header."""
    return str(max(1, ceil(error.retry_seconds)) if isinstance(error, QueueError) else 1)


def problem_response(body: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an HTTP answer; 503 says when to come back."""
    retry = {"Retry-After": "1"} if body.status == 503 else {}
    return Response(
        body.model_dump_json(),
        status_code=body.status,
        media_type=MEDIA_TYPE,
        headers=retry | dict(headers or {}),
    )
