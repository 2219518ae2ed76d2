"""The rows of a table as batches of Arrow, and what was guessed of its form."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from service.bulk.tables.options import TableOptions
from service.contract.rows import RowTask


@dataclass(frozen=True)
class Batches:
    """The batches of a table, of one schema; `read_as` and `notes` are those of its report."""

    schema: Any
    batches: Iterable[Any]
    read_as: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


Decode = Callable[[BinaryIO, RowTask, TableOptions], Batches]
"""Reads a file; its batches come as they are asked for."""
