"""The words of a refusal: pydantic's errors as ours, and values cut to a length safe to show."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from service.errors import FieldProblem, InvalidPayload

LONGEST_ECHO = 80
"""Characters of a value that a message shows."""
MOST_PROBLEMS = 100
"""Problems that an answer lists."""


def invalid_payload(
    failures: Sequence[Mapping[str, Any]], known: Sequence[str] = ()
) -> InvalidPayload:
    """Return pydantic's errors as ours, those listed; `known` names explain misspelt ones."""
    return InvalidPayload(
        [
            FieldProblem(_path(f["loc"]), _expected(f, known), _got(f))
            for f in failures[:MOST_PROBLEMS]
        ],
        len(failures),
    )


def listed(names: Sequence[str], most: int) -> str:
    """Return names in a sentence: `a, b and c`, or the first ones `and 20 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return ` (did you mean 'x'?)` with the known name that is closest; empty if none is close."""
    near = get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _path(loc: Sequence[str | int]) -> str:
    return ".".join(map(str, loc)) or "body"


def _expected(failure: Mapping[str, Any], known: Sequence[str]) -> str:
    match failure["type"]:
        case "feature":
            return str(failure["ctx"]["expected"])
        case "missing":
            return "a value (required)"
        case "extra_forbidden":
            return "no field of this name" + did_you_mean(str(failure["loc"][-1]), known)
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
    """Return a value as text, cut to a length that is safe to log and to answer."""
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
