"""Columns of Arrow: cells that become numbers of the contract, of Arrow's types or of text."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.bulk.tables.arrow_cells import shown
from service.bulk.tables.chunks import Numbers
from service.bulk.tables.header import is_nothing
from service.contract.messages import LONGEST_ECHO, echo
from service.contract.tables import plain_word

# What is a number in text, for all formats of text alike; RE2's syntax.
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER_WITH_COMMA = NUMBER.replace(r"\.", ",")
GROUPED = {
    ".": (r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$", ","),
    ",": (r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*)?$", "."),
}
"""Numbers with a sign between thousands, by the sign of decimals, where that is certain."""


@dataclass(frozen=True)
class TypedColumn:
    """A column of Arrow's types: numbers are numbers, and nothing else is but words for codes."""

    cells: Any

    def numbers(self, words: Mapping[str, float]) -> Numbers:
        """Integers, floats and decimals as float64; text and true only as a code's word."""
        cells, kind = self.cells, self.cells.type
        missing = cells.is_null().to_numpy(zero_copy_only=False) if cells.null_count else None
        if is_number(kind):
            floats = cells.cast(pa.float64(), safe=False)
            return Numbers(floats.to_numpy(zero_copy_only=False), missing)
        nothing = np.full(len(cells), np.nan)
        if words and pa.types.is_boolean(kind):
            cells = pc.if_else(cells, "true", "false")
        elif not (words and is_text(kind)):
            return Numbers(nothing, missing)
        return _worded(cells, words, nothing, missing)

    def is_worded(self) -> bool:
        """Return True if the cells are no numbers."""
        return not is_number(self.cells.type)

    def raw_value(self, row: int) -> str:
        """Return a cell as JSON writes it, for a message."""
        return shown(self.cells[row])


@dataclass(frozen=True)
class TextColumn:
    """A column of text: what reads as a number is one; in an empty cell nothing was recorded."""

    cells: Any
    decimal: str = "."
    grouped: bool = False
    """True where the sign of decimals is certain, so that the other one is between thousands."""

    def numbers(self, words: Mapping[str, float]) -> Numbers:
        """Return the cells that read as numbers, spaces around them aside, or are codes' words."""
        if self.decimal == ".":
            with suppress(pa.ArrowInvalid):
                floats = _floats(self.cells)
                missing = np.isnan(floats)  # of text, "nan" alone is one
                return Numbers(floats, missing if missing.any() else None)
        text, reads = self._read
        floats = _floats(pc.if_else(reads, text, pa.scalar(None, pa.string())))
        others = pc.unique(text.filter(pc.invert(reads))).to_pylist()
        # A declared meaning, as `none` of vessels, is not taken for nothing.
        empty = [each for each in others if is_nothing(each) and plain_word(each) not in words]
        nothing = pa.array(empty, pa.string())
        missing = pc.is_in(text, nothing).to_numpy(zero_copy_only=False)
        if not words or len(others) == len(nothing):
            return Numbers(floats, missing)
        return _worded(text, words, floats, missing)

    @cached_property
    def _read(self) -> tuple[Any, Any]:
        """The cells without spaces around them and with a decimal point; which read as numbers."""
        text = pc.utf8_trim_whitespace(self.cells)
        if self.grouped:
            pattern, sign = GROUPED[self.decimal]
            thousands = pc.match_substring_regex(text, pattern)
            text = pc.if_else(thousands, pc.replace_substring(text, sign, ""), text)
        if self.decimal == ".":
            return text, pc.match_substring_regex(text, NUMBER)
        reads = pc.match_substring_regex(text, NUMBER_WITH_COMMA)
        return pc.if_else(reads, pc.replace_substring(text, ",", "."), text), reads

    def is_worded(self) -> bool:
        """Return True if no cell reads as a number."""
        return bool(np.isnan(self.numbers({}).values).all())

    def raw_value(self, row: int) -> str:
        """Return a number without quotes, any other text in them."""
        text = self.cells[row].as_py()
        number = pc.match_substring_regex(pa.scalar(text.strip()), NUMBER).as_py()
        return text.strip()[:LONGEST_ECHO] if number else echo(text)


def _worded(cells: Any, words: Mapping[str, float], values: Any, missing: Any) -> Numbers:
    """Return numbers with the codes of those cells that are words for them."""
    told = {
        text: words[plain_word(text)]
        for text in pc.unique(cells).to_pylist()
        if text is not None and plain_word(text) in words
    }
    places = pc.index_in(cells, pa.array(list(told), cells.type))
    worded = places.is_valid().to_numpy(zero_copy_only=False)
    codes = np.array([*told.values(), 0], np.float64)
    chosen = codes[places.fill_null(len(told)).to_numpy(zero_copy_only=False)]
    return Numbers(np.where(worded, chosen, values), missing, worded)


def is_text(kind: Any) -> bool:
    """Return True if cells of this Arrow type are text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_number(kind: Any) -> bool:
    """Return True if cells of this Arrow type are numbers."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _floats(text: Any) -> Any:
    return text.cast(pa.float64()).to_numpy(zero_copy_only=False)
