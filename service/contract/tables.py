"""A task's tables as people have them: other names of columns, other codings, words for codes.

None of it is part of the contract between training and serving, which knows one name and one coding
of each field; here is what leads there from the files that exist. What is declared may grow freely.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from service.contract.fields import Feature

BRACKETS = re.compile(r"[\(\[\{]([^\(\)\[\]\{\}]*)[\)\]\}]")
# Spellings of the units in which fields are declared; compared as `plain` writes them.
UNIT_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "years": ("year", "years", "yrs", "yr", "y", "inyears"),
    "mm Hg": ("mmhg", "inmmhg", "torr"),
    "mg/dl": ("mgdl", "inmgdl", "mgperdl"),
    "beats/min": ("bpm", "beatsmin", "beatspermin", "beatsperminute", "perminute"),
    "mm": ("mm", "inmm", "millimetres", "millimeters"),
    "NT$": ("nt", "ntd", "twd", "ntdollar", "ntdollars", "innt", "intwd"),
}
OTHER_UNITS = frozenset(
    """
    day days month months week weeks decades mmol/l umol/l g/l mg/l mg/ml kPa Pa cmH2O psi Hz s
    ms sec seconds mV uV V cm m inch inches percent USD EUR GBP CNY RMB JPY US$ dollars euros k
    thousand thousands million millions
    """.lower()
    .replace("/", "")
    .replace("$", "")
    .split()
)
"""Units that no field is declared in: a column that names one must not be taken for a field."""
IDENTIFYING_WORDS = frozenset(
    """
    id ids uid uuid guid key index idx no nr num number row rownum line seq record case ref
    reference account acct customer client patient person subject participant name surname firstname
    lastname mrn ssn nhs visit encounter episode study site center centre hospital clinic ward
    dataset source file date datetime time timestamp created updated year birth dob zip zipcode
    postcode phone email address note notes comment comments remark remarks text hash tag label
    split fold unnamed of the
    """.split()  # noqa: SIM905
)
"""Words that tell who, where or when a row is of: a name of these alone is no measurement."""
IDENTIFYING_ENDS = frozenset(("id", "ids", "uid", "uuid", "name", "mrn", "date"))
"""Words that make an identifier of any name that ends in them."""
NOT_PLAIN = re.compile("[^a-z0-9<]+")
LONGEST_KEPT = 64
"""Characters of a text whose plain words are remembered: the words of codes are asked for again."""
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def plain(name: str) -> str:
    """Return a name without case, spaces, marks and brackets: as columns' names are compared."""
    text = BRACKETS.sub(" ", name)
    if text.isascii():  # as most are, and several times quicker
        return NOT_PLAIN.sub("", text.lower())
    text = unicodedata.normalize("NFKC", text)
    # What is below a value must not be taken for what is above it.
    return "".join(letter for letter in text.casefold() if letter.isalnum() or letter == "<")


def plain_word(text: str) -> str:
    """Return a cell's words without case, spaces and marks, `+` and `-` of numbers apart."""
    return _plain_word(text) if len(text) <= LONGEST_KEPT else _plain_word.__wrapped__(text)


@lru_cache(maxsize=4096)
def _plain_word(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum() or letter in "+>")


def words_of(name: str) -> list[str]:
    """Return the words of a column's name, in lower case: `patientId` has two, as `patient_id`."""
    return [word.lower() for word in WORDS.findall(name)]


def is_identifier(name: str) -> bool:
    """Return True for a column that tells rows apart, by its name; also for one without a name."""
    words = [word for word in words_of(name) if not word.isdigit()]
    if not words:
        return not name.strip()
    return all(word in IDENTIFYING_WORDS for word in words) or words[-1] in IDENTIFYING_ENDS


@dataclass(frozen=True)
class Coding:
    """Another way in which files write a task's codes: by field, their code to ours.

    None stands for a code by which the files say that nothing was recorded. Codes of a field that
    is not named are ours. `title` says which files these are, `signs` the columns that only they
    have; `truth` maps the value of their truth column to the decision, where it is not as `Truth`
    has it.
    """

    name: str
    title: str
    codes: Mapping[str, Mapping[int, int | None]]
    truth: Mapping[int, bool] = field(default_factory=dict)
    signs: tuple[str, ...] = ()

    def said(self) -> str:
        """Return the mapping in words: `cp 0 is our 4, 1 our 2`, field after field."""
        return "; ".join(
            f"{name} "
            + ", ".join(
                f"{theirs}→{'not recorded' if ours is None else ours}"
                for theirs, ours in codes.items()
            )
            for name, codes in self.codes.items()
        )


@dataclass(frozen=True)
class Truth:
    """The column that says what became true: its names in the files, and how its values decide.

    A number decides yes from `least` upwards. Where a column has the two codes of `pair` alone, the
    second is yes. Words are compared as `plain_word` writes them.
    """

    names: tuple[str, ...] = ()
    least: int = 1
    grades: tuple[int, ...] = (0, 1)
    pair: tuple[int, int] | None = None
    yes: tuple[str, ...] = ("yes", "true", "1", "y", "t")
    no: tuple[str, ...] = ("no", "false", "0", "n", "f")


@dataclass(frozen=True)
class TableConventions:
    """The files of a task that exist, as far as they differ from its contract.

    `aliases` are other names of fields; case, spaces, marks and units in brackets do not matter.
    `words` are words for codes, beside the meanings that a `Code` declares. `coding` names the
    contract's own coding, `codings` the others. `orders` are the columns of files without a line of
    names, which may have the truth behind them. `missing` are numbers by which the files say that
    nothing was recorded.
    """

    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    coding: str = "contract"
    codings: tuple[Coding, ...] = ()
    truth: Truth = Truth()
    orders: tuple[tuple[str, ...], ...] = ()
    missing: tuple[float, ...] = ()

    @cached_property
    def truth_names(self) -> frozenset[str]:
        """The plain names of truth columns."""
        return frozenset(map(plain, self.truth.names))

    def coding_named(self, name: str) -> Coding | None:
        """Return the other coding of this name; None for the contract's own and for none."""
        return next((coding for coding in self.codings if coding.name == name), None)


@dataclass(frozen=True)
class FieldNames:
    """The plain names of a task's fields: those declared, aliases and descriptions."""

    features: Sequence[Feature]
    descriptions: Mapping[str, str]
    conventions: TableConventions

    @cached_property
    def by_plain_name(self) -> Mapping[str, str]:
        """Every plain name with its field, also with the field's unit behind it."""
        names: dict[str, str] = {}
        for each in self.features:
            spoken = (
                self.descriptions.get(each.name, ""),
                *self.conventions.aliases.get(each.name, ()),
            )
            for name in (each.name, *filter(None, spoken)):
                for unit in ("", *UNIT_SPELLINGS.get(each.unit or "", ())):
                    names.setdefault(plain(name) + unit, each.name)
        # A field's own name is no other field's alias.
        return names | {plain(each.name): each.name for each in self.features}

    def field_of(self, column: str) -> str | None:
        """Return the field that a column's name means, in whatever unit; None if it is no field."""
        return self.by_plain_name.get(plain(column))

    def other_unit(self, column: str, unit: str | None) -> str | None:
        """Return the unit that a column names in brackets, if it is not the field's `unit`."""
        for bracket in BRACKETS.findall(column):
            text = plain(bracket)
            own = UNIT_SPELLINGS.get(unit or "", ())
            known = text in OTHER_UNITS or any(text in each for each in UNIT_SPELLINGS.values())
            if known and text not in own:
                return str(bracket.strip())
        return None
