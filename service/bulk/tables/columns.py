"""The columns of a table as fields of a task: by name, by alias, or as its sender maps them."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher, get_close_matches
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from service.bulk.tables.allowance import Allowance
from service.bulk.tables.chunks import CHUNK_ROWS, AnswerColumns
from service.bulk.tables.decoders.batches import Batches, Decode
from service.bulk.tables.decoders.pool import TableDecoders
from service.bulk.tables.measurements import is_truth, measured
from service.bulk.tables.options import EVERY_COLUMN, TableOptions
from service.bulk.tables.refusals import (
    MOST_NAMED,
    Refusal,
    columns_named,
    comes,
    ignore_option,
    map_option,
    shown,
)
from service.bulk.tables.report import TableReport
from service.bulk.tables.validation import FieldRules, rules_of
from service.contract.messages import listed
from service.contract.rows import RowTask
from service.contract.tables import BRACKETS, is_identifier, plain, plain_word, words_of
from service.errors import FieldProblem, InvalidPayload, UnfitColumns

REASONED_ROWS = 64
NEAR = 0.8
"""From which ratio (difflib's) a column's name is an absent field's, misspelt."""
LEAST_ALIKE = 0.45
"""From which ratio a field is suggested for a name that has a word of the field's names."""
MOST_COLUMNS = 10_000
"""Columns of a table, and different names in rows of JSON."""
LONGEST_NAME = 4_000
MOST_COMPARED = 300
"""Names of a table that are compared with absent fields letter by letter: 8 ms each."""
LONGEST_COMPARED = 100
CODE_AND_WORD = re.compile(r"([0-9]+)\s*[=:]\s*([^,;/=:]+)")
"""In brackets behind a name: `0 = female; 1 = male`."""
LEAST_LETTERS = 4
"""Letters of an alias that a name may resemble: `cap` is no `cp`."""


@dataclass(frozen=True)
class ColumnMapping:
    """The columns of a table, or of some rows of JSON, as fields.

    `fields` are the columns by field, `absent` the fields without one. `unread` are no fields and
    are carried through; of these the `doubtful` ones, and those named like a truth (`truths`), are
    measurements left unread if they hold such. `problems` and `sentences` say what is wrong with
    the names; `suggestions` are options that would settle it.
    """

    fields: Mapping[str, str]
    unread: tuple[str, ...]
    doubtful: tuple[str, ...]
    truths: tuple[str, ...]
    absent: tuple[str, ...]
    problems: tuple[FieldProblem, ...] = ()
    sentences: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()

    @property
    def mapped(self) -> dict[str, str]:
        """The fields that are read from columns of another name, by column."""
        return {column: name for name, column in self.fields.items() if column != name}


def check_names(names: Collection[str]) -> None:
    """Raise InvalidPayload for more columns, or longer names, than are compared with fields."""
    if len(names) > MOST_COLUMNS:
        raise too_many_columns(len(names))
    if max(map(len, names), default=0) > LONGEST_NAME:
        problem = FieldProblem("columns", f"names of at most {LONGEST_NAME:,} letters", "longer")
        raise InvalidPayload([problem])


def too_many_columns(count: int) -> InvalidPayload:
    """Return the error for a table of so many columns."""
    return InvalidPayload([FieldProblem("columns", f"at most {MOST_COLUMNS:,}", f"{count:,}")])


@dataclass
class Comparisons:
    """The names that may still be compared letter by letter, some milliseconds each, in a table."""

    left: int = MOST_COMPARED

    def take(self) -> bool:
        """Return True while another name may be compared."""
        self.left -= 1
        return self.left >= 0


@dataclass(frozen=True)
class TableReading:
    """The way one table is read: for which task, with which options; `report` is told the rest.

    `answer` are the columns that the answer has itself; `spool_dir` is for a format's own files.
    Without `decoders`, every format is decoded here.
    """

    task: RowTask
    answer: AnswerColumns
    options: TableOptions
    report: TableReport
    spool_dir: Path | None = None
    allowance: Allowance = field(default_factory=Allowance)
    decoders: TableDecoders | None = None
    comparisons: Comparisons = field(default_factory=Comparisons)
    absent_words: dict[tuple[str, ...], frozenset[str]] = field(default_factory=dict)

    @property
    def chunk_rows(self) -> int:
        """The rows that are scored at once: with reasons few, for each takes its time."""
        return REASONED_ROWS if self.options.reasons else CHUNK_ROWS

    @cached_property
    def rules(self) -> tuple[FieldRules, ...]:
        """The rules of the task's fields, in the coding of the table."""
        return rules_of(self.task, self.options.coding)

    @contextmanager
    def decoded(self, decode: Decode, source: BinaryIO) -> Iterator[Batches]:
        """Yield the batches of a file, and report what was guessed of its form."""
        decoders, task, options = self.decoders, self.task, self.options
        with (
            nullcontext(decode(source, task, options))
            if decoders is None
            else decoders.decoded(decode, source, task, options)
        ) as found:
            self.report.read_as |= found.read_as
            self.report.notes |= dict.fromkeys(found.notes)
            batches = self.allowance.counted(found.batches, unpacked=True)
            yield replace(found, batches=batches)

    def columns_of(self, names: Sequence[str]) -> ColumnMapping:
        """Return the mapping of a table's columns. Raises UnfitColumns for what is wrong."""
        mapping = self.mapping(names, whole=True)
        if mapping.problems:
            raise UnfitColumns(mapping.problems, mapping.sentences, mapping.suggestions)
        self.report.add_columns(mapping.mapped, mapping.unread)
        optional = {f.name for f in self.task.features if not f.required}
        if optional and optional <= set(mapping.absent):
            read = listed([f.name for f in self.task.features if f.required], MOST_NAMED)
            self.report.notes[f"of the fields the table has {read} alone"] = None
        return mapping

    def mapping(self, names: Sequence[str], whole: bool) -> ColumnMapping:
        """Return the mapping of some columns, with its problems.

        Those of a `whole` table have to hold the required fields, and the columns of the options.
        Raises InvalidPayload for more columns, or longer names, than are looked at.
        """
        check_names(names)
        refusal = Refusal()
        counts = Counter(names)
        if twice := [name for name, count in counts.items() if count > 1]:
            refusal.add(
                f"{columns_named(twice)} {comes(twice)} more than once; give each its own name.",
                *(FieldProblem(n, "one column of this name", f"{counts[n]}") for n in twice),
            )
        fields = self._fields(counts, refusal, whole)
        taken = set(fields.values())
        absent = [f.name for f in self.task.features if f.name not in fields]
        others = [name for name in counts if name not in taken]
        unread = tuple(name for name in others if name not in self.answer.all)
        if used := [name for name in others if name in self.answer.all]:
            refusal.add(
                f"{columns_named(used)} {comes(used)} from the answer too: rename yours.",
                *(
                    FieldProblem(
                        name, "another name, which the answer does not use itself", "a column"
                    )
                    for name in used
                ),
            )
        open_names = [name for name in unread if self._is_open(name)] if absent else []
        close = self._close(open_names, absent, refusal)
        if whole:
            self._require(absent, close, counts, refusal)
        optional = any(not f.required for f in self.task.features if f.name in absent)
        doubtful = [n for n in open_names if not is_identifier(n) and n not in close]
        truths = [n for n in unread if self._is_truth(n) and not self.options.ignores(n)]
        return ColumnMapping(
            fields,
            unread,
            tuple(doubtful) if optional else (),
            tuple(name for name in truths if name != self.options.truth) if optional else (),
            tuple(absent),
            tuple(refusal.problems),
            tuple(refusal.sentences),
            tuple(refusal.suggestions),
        )

    def _fields(self, names: Mapping[str, int], refusal: Refusal, whole: bool) -> dict[str, str]:
        """Return the columns by field: as the options say, then by the field's name, by alias."""
        fields: dict[str, str] = {}
        for column, name in self.options.fields.items():
            if column in names:
                fields[name] = column
        if whole:
            self._require_named(names, refusal)
        self._add_named(fields, names, refusal)
        return fields

    def _require_named(self, names: Mapping[str, int], refusal: Refusal) -> None:
        """Refuse columns of the options that the table does not have: they are misspelt."""
        named = [("map", column) for column in self.options.fields]
        named += [("truth", self.options.truth)] if self.options.truth else []
        ignored = self.options.ignored - {EVERY_COLUMN}
        named += [("ignore", column) for column in sorted(ignored)]
        has = listed([shown(name) for name in names], MOST_NAMED)
        for option, column in named:
            if column not in names:
                refusal.add(
                    f"The table has no column {shown(column)}, which {option} names; it has {has}.",
                    FieldProblem(option, f"a column of the table, one of {has}", shown(column)),
                )

    def _add_named(
        self, fields: dict[str, str], names: Mapping[str, int], refusal: Refusal
    ) -> None:
        """Add the columns whose names mean a field that has none yet; refuse what may be two."""
        taken = set(fields.values())
        columns_of: dict[str, list[str]] = {}
        for column in names:
            meant = self.task.field_names.field_of(column)
            settled = column in taken or column in self.options.ignored or self._is_truth(column)
            if meant is None or meant in fields or (settled and column != meant):
                continue
            unit = self._declared[meant]
            if other := self.task.field_names.other_unit(column, unit):
                expected = f"in {unit}" if unit else "as a code, not as a quantity"
                refusal.add(
                    f"Column {shown(column)} is {meant} in {other}, which is read {expected}: "
                    "convert it and rename it, or leave it unread by ignore.",
                    FieldProblem(column, f"{meant} {expected}", other),
                )
                refusal.suggestions.append(ignore_option(column))
            elif other := self._other_meaning(column, meant):
                refusal.add(
                    f"Column {shown(column)} is {meant} in another coding by its name ({other}): "
                    "recode it and rename it, or leave it unread by ignore.",
                    FieldProblem(column, f"{meant} in the coding of the contract", other),
                )
                refusal.suggestions.append(ignore_option(column))
            columns_of.setdefault(meant, []).append(column)
        for name, columns in columns_of.items():
            if len(columns) > 1:
                refusal.add(
                    f"{columns_named(columns)} are each read as {name}: "
                    f"{map_option(columns[0], name)} says which one is.",
                    *(FieldProblem(c, f"one column that is {name}", "another") for c in columns),
                )
                refusal.suggestions += [map_option(column, name) for column in columns]
            fields[name] = columns[0]

    def _other_meaning(self, column: str, name: str) -> str | None:
        """Return the code of a column's name whose meaning is another: `0=male` of sex in heart."""
        (rules,) = [each for each in self.rules if each.feature.name == name]
        for bracket in BRACKETS.findall(column):
            for code, word in CODE_AND_WORD.findall(bracket):
                meant = rules.words.get(plain_word(word))
                theirs = int(code) if rules.codes is None else rules.codes.get(int(code))
                if meant is not None and meant != theirs:
                    return f"{code} = {word.strip()}"
        return None

    @property
    def _declared(self) -> dict[str, str | None]:
        return {feature.name: feature.unit for feature in self.task.features}

    def _is_truth(self, column: str) -> bool:
        if column == self.options.truth:
            return True
        return plain(column) in self.task.tables.truth_names

    def _is_open(self, column: str) -> bool:
        """Return True unless a column is settled to be no field."""
        settled = self.options.ignores(column) or self._is_truth(column)
        # One that is a field's by name was left for another column that is mapped to the field.
        return not settled and self.task.field_names.field_of(column) is None

    def _close(
        self, names: Sequence[str], absent: Sequence[str], refusal: Refusal
    ) -> dict[str, str]:
        """Return the absent fields that some names resemble, by name, and refuse those columns.

        A misspelt field would be carried through and scored as not recorded: a wrong answer.
        """
        if not names or self.comparisons.left <= 0:
            return {}
        spoken = self._spoken(absent)
        close = {
            name: spoken[near[0]]
            for name in names
            if self.comparisons.take()
            and (near := get_close_matches(plain(name)[:LONGEST_COMPARED], spoken, 1, NEAR))
        }
        for name, meant in close.items():
            refusal.add(
                f"Column {shown(name)} is no field, and {meant} is absent: is it that? "
                f"{map_option(name, meant)} reads it so, {ignore_option(name)} leaves it unread.",
                FieldProblem(
                    name, f"no name so like a field's (did you mean {meant!r}?)", "a column"
                ),
            )
            # A name such as "fasting blood sugar < 120" means the opposite of the field.
            mapped = [] if "<" in name else [map_option(name, meant)]
            refusal.suggestions += [*mapped, ignore_option(name)]
        return close

    def _spoken(self, absent: Sequence[str]) -> dict[str, str]:
        """Return the plain names that are compared with others, each with its absent field."""
        names = self.task.field_names.by_plain_name
        return {
            spoken: name
            for spoken, name in names.items()
            if name in absent and (len(spoken) >= LEAST_LETTERS or spoken == plain(name))
        }

    def _require(
        self,
        absent: Sequence[str],
        close: Mapping[str, str],
        names: Mapping[str, int],
        refusal: Refusal,
    ) -> None:
        """Refuse a table without the required fields, unless another name was taken for one."""
        required = {f.name for f in self.task.features if f.required}
        missing = [name for name in absent if name in required]
        untold = [name for name in missing if name not in close.values()]
        problems = [FieldProblem(n, "a column of this name (required)", "nothing") for n in missing]
        if not untold:
            refusal.problems += problems
            return
        every = len(untold) == len(required) and len(required) > 1
        what = f"none of the {len(required)} required fields" if every else "no column for "
        which = f" ({listed(untold, MOST_NAMED)})" if every else listed(untold, MOST_NAMED)
        has = listed([shown(name) for name in names], MOST_NAMED) or "no name at all"
        refusal.add(
            f"The table has {what}{which}; its columns are {has}. "
            "map=COLUMN=FIELD reads a column as a field.",
            *problems,
        )

    def held(self, name: str, cells: Sequence[object], mapping: ColumnMapping) -> str | None:
        """Return what some cells of an unread column hold that could be a measurement, or None."""
        if name in mapping.truths and is_truth(name, cells, self.task.tables.truth):
            return None
        words = self._words_of(mapping.absent)
        return measured(cells, words, lambda key: self.task.field_names.field_of(key) is not None)

    def _words_of(self, absent: tuple[str, ...]) -> frozenset[str]:
        """Return the words for codes of some fields."""
        words = self.absent_words.get(absent)
        if words is None:
            rules = [each for each in self.rules if each.feature.name in absent]
            words = frozenset(word for each in rules for word in each.words)
            if len(self.absent_words) < MOST_COMPARED:
                self.absent_words[absent] = words
        return words

    def refuse_unread(self, columns: Mapping[str, str], absent: Sequence[str]) -> UnfitColumns:
        """Return the error for columns that hold numbers, or words for codes, and are left unread.

        `columns` says what each holds; `absent` are the fields that no column is read as.
        """
        refusal = self.unread_problems(columns, absent)
        return UnfitColumns(refusal.problems, refusal.sentences, refusal.suggestions)

    def unread_problems(self, columns: Mapping[str, str], absent: Sequence[str]) -> Refusal:
        """Return the refusal of columns that would be measurements left unread."""
        refusal = Refusal()
        meant = {name: self._suggested(name, absent) for name in columns}
        guessed = [map_option(name, field) for name, field in meant.items() if field]
        example = guessed[0] if guessed else "map=COLUMN=FIELD"
        held = next(iter(columns.values()))
        one = len(columns) == 1
        refusal.add(
            f"{columns_named(columns)} {'holds' if one else 'hold'} {held} and "
            f"{'is' if one else 'are'} no field by name, while {listed(absent, MOST_NAMED)} "
            f"{'is' if len(absent) == 1 else 'are'} absent. "
            f"If {'it is' if one else 'some are'} of these, {example} reads "
            f"{'it' if one else 'one'}; {ignore_option(next(iter(columns)))} leaves a column "
            f"unread, ignore={EVERY_COLUMN} all of them.",
            *(
                FieldProblem(
                    name,
                    "a field by name"
                    + (f" (did you mean {field!r}?)" if field else "")
                    + ", or to be mapped or ignored, for it holds "
                    + columns[name],
                    columns[name],
                )
                for name, field in meant.items()
            ),
        )
        refusal.suggestions += [
            text
            for name, field in meant.items()
            for text in (*([map_option(name, field)] if field else []), ignore_option(name))
        ]
        if len(columns) > 1:
            refusal.suggestions.append(f"ignore={EVERY_COLUMN}")
        return refusal

    def _suggested(self, column: str, absent: Sequence[str]) -> str | None:
        """Return the absent field whose names share the most words with a column's, if any."""
        if not self.comparisons.take():
            return None
        words = set(words_of(column))
        best, found = 0.0, None
        for spoken, name in self._spoken(absent).items():
            shared = sum(len(word) for word in words if len(word) > 2 and word in spoken)
            alike = SequenceMatcher(None, plain(column)[:LONGEST_COMPARED], spoken).ratio()
            if shared and alike >= LEAST_ALIKE and shared / len(spoken) + alike > best:
                best, found = shared / len(spoken) + alike, name
        return found
