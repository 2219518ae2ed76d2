"""The coding of a table: codes that the contract does not have and files of another coding do."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from service.bulk.tables.validation import Checked, Foreign
from service.contract.messages import listed
from service.contract.rows import RowTask
from service.contract.tables import plain
from service.errors import UnfitCoding

MOST_NAMED = 6


@dataclass(frozen=True)
class CodingEvidence:
    """Codes of other codings in a table, the codings that have every code of it, and our own codes.

    `ours` are codes, such as `cp 4`, that none of the codings has; `chosen` is the coding that the
    table's sender named.
    """

    foreign: tuple[Foreign, ...]
    fitting: tuple[str, ...]
    ours: tuple[str, ...]
    chosen: str | None = None


def evidence_of(
    task: RowTask, checked: Checked, first: int, coding: str | None = None
) -> CodingEvidence | None:
    """Return the evidence in some rows that they are in another coding than that of the options.

    None if there is none.
    """
    foreign = tuple(checked.foreign(first))
    if not foreign:
        return None
    if coding is not None:
        return CodingEvidence(foreign, (), (), coding)
    named = {name for each in foreign for name in each.codings}
    codings = [coding for coding in task.tables.codings if coding.name in named]
    codes = {
        feature.name: {
            int(code) for code in np.unique(column[~np.isnan(column)]) if code == int(code)
        }
        for feature, column in zip(task.features, checked.array.T, strict=True)
        if feature.codes
    }
    fitting = tuple(
        coding.name
        for coding in codings
        if all(codes[name] <= set(known) for name, known in coding.codes.items())
    )
    ours = tuple(
        f"{feature.name} {code}"
        for feature in task.features
        for code in sorted(codes.get(feature.name, set()) & set(feature.codes))
        if all(code not in c.codes.get(feature.name, feature.codes) for c in codings)
    )
    return CodingEvidence(foreign, fitting, ours)


def unfit_coding(task: RowTask, evidence: CodingEvidence, columns: Iterable[str]) -> UnfitCoding:
    """Return the refusal of a table in another coding, with the mapping that would read it.

    Where several codings fit, one of whose signs is among the other `columns` counts.
    """
    own = task.tables.coding
    found = listed(
        [f"{each.field} {each.code} in row {each.row:,}" for each in evidence.foreign], MOST_NAMED
    )
    if evidence.chosen is not None:
        return UnfitCoding(
            f"The table is not in the coding {evidence.chosen}, which has no {found}; {own} has. "
            "No row is scored, because the other codes would be read with another meaning. Leave "
            f"out coding={evidence.chosen}, or separate the rows of the two codings.",
            [f"coding={own}"],
        )
    known = {coding.name: coding for coding in task.tables.codings}
    told = [known[name] for name in evidence.fitting]
    named = set(map(plain, columns))
    told = [coding for coding in told if named & set(coding.signs)] or told
    if told:
        ways = "; or ".join(
            f"coding={coding.name} reads it as {coding.title} ({coding.said()})" for coding in told
        )
        reason = (
            f"The table's codes are not {own}'s: {found}. No row is scored, because the other "
            f"codes would be read with another meaning. {ways}. If these are slips in a table of "
            f"{own}'s codes, coding={own} takes them for bad rows."
        )
    else:
        mixed = f", with {listed(evidence.ours, MOST_NAMED)}" if evidence.ours else ""
        names = list(dict.fromkeys(name for each in evidence.foreign for name in each.codings))
        have = "has" if len(names) == 1 else "have"
        reason = (
            f"The table mixes codings: {found}, which {listed(names, 5)} {have} and {own} has not"
            f"{mixed}, which only {own} has. No row is scored, because rows that fit both would be "
            f"read with another meaning. Separate the two kinds of rows; coding={own} takes the "
            "foreign codes for bad rows."
        )
    return UnfitCoding(reason, [*(f"coding={coding.name}" for coding in told), f"coding={own}"])
