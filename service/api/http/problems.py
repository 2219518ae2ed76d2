"""Errors as HTTP: the one table of statuses, and problem details (RFC 9457) as their only form."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from service import errors
from service.errors import FieldProblem, ForetellError, InvalidPayload, InvalidRows, QueueError

MEDIA_TYPE = "application/problem+json"
# RFC 9110's names, which Python has from 3.13 on.
RENAMED = {413: "Content Too Large", 422: "Unprocessable Content"}
LONGEST_ECHO = 80
MOST_PROBLEMS = 100

STATUS: dict[type[ForetellError], int] = {
    errors.UnreadableForm: 400,
    errors.UnreadableArchive: 400,
    errors.ArchiveTooLarge: 413,
    errors.InvalidPayload: 422,
    errors.InvalidRows: 422,
    errors.UnreadableTable: 422,
    errors.NotAcceptable: 406,
    errors.UnsupportedMediaType: 415,
    errors.PayloadTooLarge: 413,
    errors.NotAllowed: 403,
    errors.Unsupported: 501,
    errors.UnknownService: 404,
    errors.PayloadStalled: 408,
    errors.UnreadableImage: 422,
    errors.ImageTooLarge: 413,
    errors.BlankImage: 422,
    errors.UnknownModel: 404,
    errors.ModelNotReady: 503,
    errors.NoPlace: 503,
    errors.ArtifactError: 503,
    errors.ControlError: 409,
    errors.DeviceUnavailable: 503,
    errors.InvalidOutput: 500,
    errors.ReadersDown: 503,
    errors.UnwritableSpool: 507,
    errors.UnwritableTable: 500,
    errors.NotExplainable: 409,
    errors.ExplanationsBusy: 503,
    errors.QueueFull: 503,
    errors.QueuedTooLong: 503,
    errors.SettingsError: 500,
}


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
    """What is wrong with the rows of a portfolio."""

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
    """The first problems of a portfolio's rows, and how many there are."""
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


def invalid_payload(
    failures: Sequence[Mapping[str, Any]], known: Sequence[str] = ()
) -> InvalidPayload:
    """Pydantic's errors as ours, those that are listed; `known` names explain a misspelt one."""
    return InvalidPayload(
        [
            FieldProblem(_path(f["loc"]), _expected(f, known), _got(f))
            for f in failures[:MOST_PROBLEMS]
        ],
        len(failures),
    )


def _path(loc: Sequence[str | int]) -> str:
    return ".".join(map(str, loc)) or "body"


def _expected(failure: Mapping[str, Any], known: Sequence[str]) -> str:
    match failure["type"]:
        case "feature":
            return str(failure["ctx"]["expected"])
        case "missing":
            return "a value (required)"
        case "extra_forbidden":
            near = get_close_matches(str(failure["loc"][-1]), known, n=1)
            return "no field of this name" + (f" (did you mean {near[0]!r}?)" if near else "")
        case "json_invalid":
            return f"valid JSON ({failure['ctx']['error']})"
        case _:
            return str(failure["msg"]).removeprefix("Input should be ")


def _got(failure: Mapping[str, Any]) -> str:
    match failure["type"]:
        case "missing":
            return "nothing"
        case "json_invalid":
            return "a body that is not JSON"
        case _:
            return echo(failure.get("input"))


def echo(value: object) -> str:
    """What came, cut to a length that is safe to log and to answer."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case dict():
            text = f"an object of {len(value)}"
        case list():
            text = f"an array of {len(value)}"
        case str():
            text = f'"{value[:LONGEST_ECHO]}"'
        case bytes():
            text = f"{len(value)} bytes"
        case int() | float():
            text = f"{value:.10g}" if isinstance(value, float) else _digits(value)
        case _:
            text = repr(value)
    return text if len(text) <= LONGEST_ECHO else text[: LONGEST_ECHO - 1] + "…"


def _digits(value: int) -> str:
    # Python refuses to print integers of thousands of digits.
    return str(value) if value.bit_length() <= 256 else f"an integer of {value.bit_length()} bits"
