"""The refusal of a table's columns in words, with the options that would settle it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.contract.messages import listed
from service.errors import FieldProblem

MOST_NAMED = 10
"""Columns that a message names."""
LONGEST_SHOWN = 60


@dataclass
class Refusal:
    """The problems of a table's columns, put together: one sentence for one mistake."""

    problems: list[FieldProblem] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    suggestions: list[str] = field(default_factory=list)

    def add(self, sentence: str, *problems: FieldProblem) -> None:
        """Add a sentence about one or more columns."""
        self.problems += problems
        self.sentences.append(sentence)


def columns_named(names: Sequence[str] | Mapping[str, object]) -> str:
    """Return columns as the subject of a sentence."""
    noun = "Column" if len(names) == 1 else "Columns"
    return f"{noun} {listed(list(map(shown, names)), MOST_NAMED)}"


def shown(name: str) -> str:
    """Return a column's name as a message shows it: in quotes, on one line, cut to a length."""
    return repr(name if len(name) <= LONGEST_SHOWN else f"{name[: LONGEST_SHOWN - 1]}…")


def map_option(column: str, name: str) -> str:
    """Return the option that reads a column as a field; as JSON where its signs need it."""
    if column != column.strip() or column.startswith("{") or set(",=") & set(column):
        return f"map={json.dumps({column: name}, ensure_ascii=False)}"
    return f"map={column}={name}"


def ignore_option(column: str) -> str:
    """Return the option that leaves a column unread."""
    if column.startswith("[") or "," in column:
        return f"ignore={json.dumps([column], ensure_ascii=False)}"
    return f"ignore={column}"


def comes(names: Sequence[str]) -> str:
    """Return the verb for some columns."""
    return "comes" if len(names) == 1 else "come"
