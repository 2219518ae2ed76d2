"""Columns that are no field by name: do they hold measurements that would be left unread?"""

import re
from collections.abc import Callable, Collection, Sequence, Set

from service.bulk.tables.header import is_nothing
from service.contract.tables import Truth, plain, plain_word

SAMPLE = 2_000
"""Cells that are looked at; a measurement is one in most of its rows."""
# 145, 2,3, <5, 145 mmHg, 6.2mmol/l: a number, and perhaps a unit behind it.
QUANTITY = re.compile(
    r"[<>~]?\s*[+-]?([0-9]+([.,][0-9]+)?|[.,][0-9]+)\s*[^\W\d_/%°]{0,8}(/[a-z]+)?%?"
)
PADDED = re.compile(r"0[0-9]+")
LEAST_SHARE = 0.5


def measured(
    cells: Sequence[object], words: Collection[str], is_field: Callable[[str], bool]
) -> str | None:
    """Return what some cells hold that could be a measurement; None if they hold none.

    `words` are plain words for codes of fields that no column is. Numbers with zeros in front that
    are all different (0007) tell rows apart.
    """
    filled = [cell for cell in cells if not _is_empty(cell)]
    if not filled:
        return None
    texts = [cell for cell in filled if isinstance(cell, str)]
    padded = any(PADDED.fullmatch(text.strip()) for text in texts)
    if padded and len(set(texts)) == len(filled):
        return None
    least = LEAST_SHARE * len(filled)
    if sum(map(_is_quantity, filled)) >= least:
        return "numbers"
    if sum(isinstance(cell, bool) for cell in filled) >= least:
        return "true and false"
    if sum(plain_word(text) in words for text in texts) >= least:
        return "words for codes"
    nested = [cell for cell in filled if isinstance(cell, dict)]
    return "objects with fields" if any(any(map(is_field, cell)) for cell in nested) else None


def is_truth(name: str, cells: Sequence[object], truth: Truth) -> bool:
    """Return True if a column of a truth's name holds one: two numbers, grades, yes and no."""
    words = {plain_word(word) for word in (*truth.yes, *truth.no)}
    filled = [cell for cell in cells if not _is_empty(cell)]
    values = {_number(cell) for cell in filled if _is_quantity(cell)}
    others = [c for c in filled if not _is_quantity(c) and not isinstance(c, bool)]
    if any(plain_word(str(cell)) not in words for cell in others):
        return False
    pair: Set[float] = set(truth.pair or ())
    graded = plain(name) == plain(truth.names[0]) and values <= set(truth.grades)
    return values <= {0.0, 1.0} or values <= pair or graded


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and is_nothing(cell))


def _is_quantity(cell: object) -> bool:
    if isinstance(cell, str):
        return QUANTITY.fullmatch(cell.strip()) is not None
    # Decimals are numbers too; a value of JSON is one of these or none.
    return not isinstance(cell, bool) and hasattr(cell, "__float__")


def _number(cell: object) -> float:
    try:
        return float(cell.replace(",", ".") if isinstance(cell, str) else cell)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return float("nan")
