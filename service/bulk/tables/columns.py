"""The columns of a table as fields of a task: by name, by alias, or as its sender maps them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from functools import cached_property
from pathlib import Path

from service.bulk.tables.chunks import CHUNK_ROWS, AnswerColumns
from service.bulk.tables.options import EVERY_COLUMN, TableOptions
from service.bulk.tables.report import TableReport
from service.bulk.tables.validation import FieldRules, rules_of
from service.contract.messages import listed
from service.contract.rows import RowTask
from service.contract.tables import is_identifier, plain, words_of
from service.errors import FieldProblem, InvalidPayload, UnfitColumns

REASONED_ROWS = 64
NEAR = 0.8
"""From which ratio (difflib's) a column's name is an absent field's, misspelt."""
LEAST_ALIKE = 0.45
"""From which ratio a field is suggested for a name that has a word of the field's names."""
MOST_COLUMNS = 10_000
MOST_COMPARED = 200
"""Names that are compared with absent fields letter by letter, which takes time for each."""
LONGEST_COMPARED = 100
MOST_NAMED = 10
"""Columns that a message names."""
LEAST_LETTERS = 4
"""Letters of an alias that a name may resemble: `cap` is no `cp`."""


@dataclass(frozen=True)
class ColumnMapping:
    """The columns of a table, or of some rows of JSON, as fields.

    `fields` are the columns by field. `unread` are no fields and are carried through; of these the
    `doubtful` ones are measurements left unread if they hold numbers. `problems` and `sentences`
    say what is wrong with the names; `suggestions` are options that would settle it.
    """

    fields: Mapping[str, str]
    unread: tuple[str, ...]
    doubtful: tuple[str, ...]
    problems: tuple[FieldProblem, ...] = ()
    sentences: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()

    @property
    def mapped(self) -> dict[str, str]:
        """The fields that are read from columns of another name, by column."""
        return {column: name for name, column in self.fields.items() if column != name}


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


@dataclass(frozen=True)
class TableReading:
    """The way one table is read: for which task, with which options; `report` is told the rest.

    `answer` are the columns that the answer has itself; `spool_dir` is for a format's own files.
    """

    task: RowTask
    answer: AnswerColumns
    options: TableOptions
    report: TableReport
    spool_dir: Path | None = None

    @property
    def chunk_rows(self) -> int:
        """The rows that are scored at once: with reasons few, for each takes its time."""
        return REASONED_ROWS if self.options.reasons else CHUNK_ROWS

    @cached_property
    def rules(self) -> tuple[FieldRules, ...]:
        """The rules of the task's fields, in the coding of the table."""
        return rules_of(self.task, self.options.coding)

    def columns_of(self, names: Sequence[str]) -> ColumnMapping:
        """Return the mapping of a table's columns. Raises UnfitColumns for what is wrong."""
        if len(names) > MOST_COLUMNS:
            problem = FieldProblem("columns", f"at most {MOST_COLUMNS:,}", f"{len(names):,}")
            raise InvalidPayload([problem])
        mapping = self.mapping(names, whole=True)
        if mapping.problems:
            raise UnfitColumns(mapping.problems, mapping.sentences, mapping.suggestions)
        self.report.add_columns(mapping.mapped, mapping.unread)
        return mapping

    def mapping(self, names: Sequence[str], whole: bool) -> ColumnMapping:
        """Return the mapping of some columns, with its problems.

        Those of a `whole` table have to hold the required fields, and the columns of the options.
        """
        refusal = Refusal()
        counts = Counter(names)
        if twice := [name for name, count in counts.items() if count > 1]:
            refusal.add(
                f"{_columns(twice)} {_comes(twice)} more than once; give each its own name.",
                *(FieldProblem(n, "one column of this name", f"{counts[n]}") for n in twice),
            )
        fields = self._fields(counts, refusal, whole)
        taken = set(fields.values())
        absent = [f.name for f in self.task.features if f.name not in fields]
        others = [name for name in counts if name not in taken]
        unread = tuple(name for name in others if name not in self.answer.all)
        if used := [name for name in others if name in self.answer.all]:
            refusal.add(
                f"{_columns(used)} {_comes(used)} from the answer too: give yours another name.",
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
        doubtful = tuple(n for n in open_names if not is_identifier(n)) if optional else ()
        return ColumnMapping(
            fields,
            unread,
            tuple(name for name in doubtful if name not in close),
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
            elif whole:
                shown = listed([*names], MOST_NAMED)
                refusal.add(
                    f"The table has no column {column!r} to read as {name}; it has {shown}.",
                    FieldProblem("map", f"a column of the table, one of {shown}", repr(column)),
                )
        self._add_named(fields, names, refusal)
        return fields

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
                refusal.add(
                    f"Column {column!r} is {meant} in {other}, and is read in {unit}: convert it, "
                    f"rename it, or leave it unread by ignore={column}.",
                    FieldProblem(column, f"{meant} in {unit}", other),
                )
                refusal.suggestions.append(f"ignore={column}")
            columns_of.setdefault(meant, []).append(column)
        for name, columns in columns_of.items():
            if len(columns) > 1:
                refusal.add(
                    f"{_columns(columns)} are each read as {name}: map={columns[0]}={name} says "
                    "which one is.",
                    *(FieldProblem(c, f"one column that is {name}", "another") for c in columns),
                )
                refusal.suggestions += [f"map={column}={name}" for column in columns]
            fields[name] = columns[0]

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
        spoken = self._spoken(absent)
        close = {
            name: spoken[near[0]]
            for name in names[:MOST_COMPARED]
            if (near := get_close_matches(plain(name)[:LONGEST_COMPARED], spoken, 1, NEAR))
        }
        for name, meant in close.items():
            refusal.add(
                f"Column {name!r} is no field, and {meant} is absent: is it that? "
                f"map={name}={meant} reads it so, ignore={name} leaves it unread.",
                FieldProblem(
                    name, f"no name so like a field's (did you mean {meant!r}?)", "a column"
                ),
            )
            refusal.suggestions += [f"map={name}={meant}", f"ignore={name}"]
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
        has = listed([*names], MOST_NAMED) or "no name at all"
        refusal.add(
            f"The table has {what}{which}; its columns are {has}. "
            "map=COLUMN=FIELD reads a column as a field.",
            *problems,
        )

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
        guessed = [f"map={name}={field}" for name, field in meant.items() if field]
        example = guessed[0] if guessed else "map=COLUMN=FIELD"
        held = next(iter(columns.values()))
        one = len(columns) == 1
        refusal.add(
            f"{_columns(columns)} {'holds' if one else 'hold'} {held} and "
            f"{'is' if one else 'are'} no field by name, while {listed(absent, MOST_NAMED)} "
            f"{'is' if len(absent) == 1 else 'are'} absent. "
            f"If {'it is' if one else 'some are'} of these, {example} reads "
            f"{'it' if one else 'one'}; ignore={next(iter(columns))} leaves a column unread, "
            f"ignore={EVERY_COLUMN} all of them.",
            *(
                FieldProblem(
                    name,
                    "the name of a field"
                    + (f" (did you mean {field!r}?)" if field else ", or to be ignored"),
                    columns[name],
                )
                for name, field in meant.items()
            ),
        )
        refusal.suggestions += [
            text
            for name, field in meant.items()
            for text in (*([f"map={name}={field}"] if field else []), f"ignore={name}")
        ]
        if len(columns) > 1:
            refusal.suggestions.append(f"ignore={EVERY_COLUMN}")
        return refusal

    def _suggested(self, column: str, absent: Sequence[str]) -> str | None:
        """Return the absent field whose names share the most words with a column's, if any."""
        words = set(words_of(column))
        best, found = 0.0, None
        for spoken, name in self._spoken(absent).items():
            shared = sum(len(word) for word in words if len(word) > 2 and word in spoken)
            alike = SequenceMatcher(None, plain(column)[:LONGEST_COMPARED], spoken).ratio()
            if shared and alike >= LEAST_ALIKE and shared / len(spoken) + alike > best:
                best, found = shared / len(spoken) + alike, name
        return found


def _columns(names: Sequence[str] | Mapping[str, object]) -> str:
    noun = "Column" if len(names) == 1 else "Columns"
    return f"{noun} {listed([repr(name) for name in names], MOST_NAMED)}"


def _comes(names: Sequence[str]) -> str:
    return "comes" if len(names) == 1 else "come"
