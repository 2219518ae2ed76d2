"""The report on a table: its columns, coding and form, and what was found in its rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class TableReport:
    """The facts about one table that is being read; written by its job, read by who answers.

    `mapped` are columns read under another name than the field's, `unread` those carried through,
    `read_as` what was guessed of the form (`delimiter: ;`) and `notes` doubts, each a sentence.
    `recorded`, bool[F], marks the fields with a value in some row so far.
    """

    field_names: tuple[str, ...]
    mapped: dict[str, str] = field(default_factory=dict)
    unread: dict[str, None] = field(default_factory=dict)
    read_as: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    coding: str = ""
    rows: int = 0
    bad: int = 0
    escaped: int = 0
    truth: str | None = None
    evaluation: Mapping[str, Any] | None = None
    recorded: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.recorded = np.zeros(len(self.field_names), np.bool_)

    def add_columns(self, mapped: Mapping[str, str], unread: Iterable[str]) -> None:
        """Add what one set of columns is; rows of JSON have several."""
        self.mapped |= mapped
        self.unread |= dict.fromkeys(unread)

    @property
    def not_recorded(self) -> tuple[str, ...]:
        """The fields that were recorded in no row so far."""
        seen = self.recorded.tolist()
        return tuple(name for name, some in zip(self.field_names, seen, strict=True) if not some)

    def facts(self) -> dict[str, Any]:
        """Return the facts as JSON has them."""
        return {
            "rows": self.rows,
            "scored": self.rows - self.bad,
            "bad": self.bad,
            "coding": self.coding,
            "mapped_columns": dict(self.mapped),
            "unread_columns": list(self.unread),
            "not_recorded": list(self.not_recorded),
            "read_as": self.read_as,
            "notes": list(self.notes),
            **({"escaped_cells": self.escaped} if self.escaped else {}),
            **({"truth": self.truth} if self.truth else {}),
            **({"evaluation": self.evaluation} if self.evaluation else {}),
        }
