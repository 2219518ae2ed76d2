"""The choices of who sends a table: how it is read, and what comes back beside the answers."""

import codecs
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from service.contract.messages import did_you_mean, echo
from service.contract.rows import RowTask
from service.contract.tables import plain
from service.errors import FieldProblem, InvalidPayload

Keep = Literal["others", "all"]
Formulas = Literal["keep", "escape"]
End = Literal["none", "count"]
Header = Literal["names", "none"]
Decimal = Literal[".", ","]

EVERY_COLUMN = "*"
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
ENCODINGS = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp1250"),
    *("cp1251", "iso8859-2", "iso8859-15", "mac-roman", "gb18030", "big5", "shift_jis", "euc-kr"),
)
MOST_REASONS = 5


@dataclass(frozen=True)
class TableOptions:
    """The way a table is read and answered; None where the reader finds out for itself.

    `fields` maps columns to fields; `ignored` columns are no fields, `*` means all that are not
    read. `truth` is the column that says what became true. `reasons` is how many are added.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    coding: str | None = None
    truth: str | None = None
    delimiter: str | None = None
    decimal: Decimal | None = None
    encoding: str | None = None
    header: Header | None = None
    sheet: str | None = None
    keep: Keep = "others"
    formulas: Formulas = "keep"
    end: End = "none"
    reasons: int = 0

    def ignores(self, column: str) -> bool:
        """Return True for a column that is settled to be no field."""
        return column in self.ignored or EVERY_COLUMN in self.ignored


NAMES = (
    "map",
    "ignore",
    "coding",
    "truth",
    "delimiter",
    "decimal",
    "encoding",
    "header",
    "sheet",
    "keep",
    "formulas",
    "end",
    "reasons",
)
"""The names of the options, as query parameters."""


def parse_options(
    task: RowTask, given: Iterable[tuple[str, str]], defaults: TableOptions = TableOptions()
) -> TableOptions:
    """Return the options in pairs of name and text; `map` and `ignore` may come several times.

    Raises InvalidPayload, naming the option.
    """
    options = defaults
    problems: list[FieldProblem] = []
    for name, text in given:
        try:
            options = _with(options, task, name, text)
        except ValueError as error:
            problems.append(FieldProblem(name, str(error), echo(text)))
    if problems:
        raise InvalidPayload(problems)
    return options


def _with(options: TableOptions, task: RowTask, name: str, text: str) -> TableOptions:
    """Return the options with one more. Raises ValueError with what was expected."""
    match name:
        case "map":
            fields = {**options.fields, **_mapping(task, text)}
            if len(set(fields.values())) < len(fields):
                raise ValueError("one column for each field")
            return replace(options, fields=fields)
        case "ignore":
            return replace(options, ignored=options.ignored | _ignored(text))
        case "coding":
            return replace(options, coding=_one_of(text, codings_of(task)))
        case "truth":
            return replace(options, truth=text)
        case "delimiter":
            names = {sign: sign for sign in DELIMITERS.values()} | DELIMITERS
            if text not in names:
                raise ValueError(f"one of {', '.join(DELIMITERS)}")
            return replace(options, delimiter=names[text])
        case "decimal":
            names = {"point": ".", "comma": ",", ".": ".", ",": ","}
            if text not in names:
                raise ValueError("point or comma")
            return replace(options, decimal=names[text])  # type: ignore[arg-type]
        case "encoding":
            return replace(options, encoding=_encoding(text))
        case "header":
            return replace(options, header=_one_of(text, get_args(Header)))  # type: ignore[arg-type]
        case "sheet":
            return replace(options, sheet=text)
        case "keep":
            return replace(options, keep=_one_of(text, get_args(Keep)))  # type: ignore[arg-type]
        case "formulas":
            return replace(options, formulas=_one_of(text, get_args(Formulas)))  # type: ignore[arg-type]
        case "end":
            return replace(options, end=_one_of(text, get_args(End)))  # type: ignore[arg-type]
        case "reasons":
            if not (text.isascii() and text.isdigit() and int(text[:3]) <= MOST_REASONS):
                raise ValueError(f"a whole number from 0 to {MOST_REASONS}")
            return replace(options, reasons=int(text))
        case _:
            raise ValueError("an option of a table")


def codings_of(task: RowTask) -> list[str]:
    """Return the names of a task's codings, its own first."""
    return [task.tables.coding, *(coding.name for coding in task.tables.codings)]


def _mapping(task: RowTask, text: str) -> dict[str, str]:
    """Return columns with their fields: `cholesterol=chol`, several with commas, or JSON."""
    fields = [feature.name for feature in task.features]
    if text.lstrip().startswith("{"):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict) or not all(isinstance(v, str) for v in parsed.values()):
            raise ValueError('a JSON object of columns and fields, such as {"cholesterol": "chol"}')
        pairs = list(parsed.items())
    else:
        parts = _parts(text)
        pairs = [_pair(part.strip() if len(parts) > 1 else part) for part in parts]
    for _, name in pairs:
        if name not in fields:
            raise ValueError(f"a field of {task.name} behind the ={did_you_mean(name, fields)}")
    return dict(pairs)


def _parts(text: str) -> list[str]:
    """Return the parts of a list with commas; a part without `=` belongs to the one before."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and "=" not in part:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def _pair(text: str) -> tuple[str, str]:
    column, sign, name = text.rpartition("=")
    if not (sign and name.strip()):
        raise ValueError("COLUMN=FIELD, such as cholesterol=chol")
    return column, name.strip()


def _ignored(text: str) -> frozenset[str]:
    """Return columns: one, several with commas, or a JSON array of them."""
    if text.lstrip().startswith("["):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if not isinstance(parsed, list) or not all(isinstance(each, str) for each in parsed):
            raise ValueError('a JSON array of columns, such as ["ward", "bed"]')
        return frozenset(parsed)
    return frozenset(part.strip() for part in text.split(","))


def _encoding(text: str) -> str:
    known = {plain(name): name for name in ENCODINGS} | {"utf8": "utf-8", "iso88591": "latin-1"}
    found = known.get(plain(text)) or known.get(plain(text.replace("windows-", "cp")))
    if found is None:
        raise ValueError(f"one of {', '.join(ENCODINGS)}")
    return codecs.lookup(found).name


def _one_of(text: str, choices: Iterable[str]) -> str:
    if text not in choices:
        raise ValueError(f"one of {', '.join(choices)}")
    return text
