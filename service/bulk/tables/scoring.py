"""Whole tables scored in chunks, on one thread or several, with the answers in their order."""

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.bulk.tables.chunks import AnswerColumns, Chunk, ScoredChunk
from service.bulk.tables.codings import CodingEvidence, evidence_of, unfit_coding
from service.bulk.tables.evaluation import Outcomes, TruthValues, truth_values
from service.bulk.tables.mistakes import Mistakes
from service.bulk.tables.options import TableOptions
from service.bulk.tables.report import TableReport
from service.bulk.tables.validation import Checked, FieldRules, check, rules_of, undecided
from service.contract.messages import MOST_PROBLEMS, listed
from service.contract.rows import Columns, RowTask
from service.contract.signature import Outputs
from service.errors import InvalidRows, RowMistake, RowProblem
from service.models.runtime.loaded import LoadedModel

FIRST_ROWS = 64
OnError = Literal["refuse", "report"]
Reasons = Callable[[NDArray[np.float32], NDArray[np.bool_]], Sequence[Sequence[str | None]]]
"""Rows float32[N, F] and their decisions bool[N] to the main reasons of each, None for want of one.
"""


@dataclass(frozen=True)
class BulkScoring:
    """The way a table is scored: its task, the model, its sender's options, and bad rows' fate."""

    task: RowTask
    model: LoadedModel
    on_error: OnError
    options: TableOptions = field(default_factory=TableOptions)
    reasons: Reasons | None = None

    @property
    def columns(self) -> AnswerColumns:
        """The columns of the answers."""
        columns = self.task.answer_columns(self.model.card.confidence is not None)
        count = self.options.reasons if self.reasons else 0
        return AnswerColumns(columns, errors=self.on_error == "report", reasons=count)

    @cached_property
    def columns_of(self) -> Callable[[Outputs, NDArray[np.float32]], Columns]:
        """The function from outputs to columns, of RowTask.column_writer."""
        card = self.model.card
        return self.task.column_writer(card.threshold, card.confidence)

    @cached_property
    def rules(self) -> tuple[FieldRules, ...]:
        """The rules of the task's fields, in the coding of the table."""
        return rules_of(self.task, self.options.coding)

    def new_report(self) -> TableReport:
        """Return the report of a table that is about to be read."""
        names = tuple(feature.name for feature in self.task.features)
        tables = self.task.tables
        coding = (self.options.coding or tables.coding) if tables.codings else ""
        return TableReport(names, coding=coding, truth=self.options.truth)


@dataclass(frozen=True)
class _Part:
    """The outcome of one chunk: its answers, or the problems that refuse the table."""

    count: int
    recorded: NDArray[np.bool_]
    scored: ScoredChunk | None
    problems: tuple[RowProblem, ...] = ()
    mistakes: tuple[RowMistake, ...] = ()
    problem_count: int = 0
    coding: CodingEvidence | None = None
    notes: tuple[str, ...] = ()
    truth: TruthValues | None = None


def score(
    scoring: BulkScoring,
    chunks: Iterable[Chunk],
    report: TableReport,
    threads: Executor | None = None,
    ahead: int = 1,
) -> Iterator[ScoredChunk]:
    """Yield the answers to all chunks in their order; with threads, `ahead` are scored at once.

    If bad rows refuse the table, it is checked to its end and InvalidRows raised then. A code of
    another coding raises UnfitCoding at once, whatever becomes of bad rows. What was found goes to
    the report.
    """
    problems: list[RowProblem] = []
    mistakes = Mistakes()
    outcomes = Outcomes(scoring.task, scoring.options) if scoring.options.truth else None
    count = 0
    for part in _in_order(_works(scoring, chunks), threads, ahead):
        if part.coding is not None:
            raise unfit_coding(scoring.task, part.coding, report.unread)
        report.rows += part.count
        report.recorded |= part.recorded
        report.notes |= dict.fromkeys(part.notes)
        count += part.problem_count
        problems += part.problems[: MOST_PROBLEMS - len(problems)]
        mistakes.add(part.mistakes)
        if part.scored is not None and not count:
            report.bad += int(part.scored.bad.sum())
            if outcomes is not None and part.truth is not None:
                outcomes.add(part.scored, part.truth)
            yield part.scored
    if count:
        raise InvalidRows(problems, count, mistakes.all)
    if outcomes is not None:
        named = report.read_as.get("header") != "none"
        report.evaluation = outcomes.evaluation(scoring.model.card.threshold, named)


def _works(scoring: BulkScoring, chunks: Iterable[Chunk]) -> Iterator[Callable[[], _Part]]:
    first = 1
    for chunk in chunks:
        yield _Work(scoring, chunk, first)
        first += chunk.count


@dataclass(frozen=True)
class _Work:
    scoring: BulkScoring
    chunk: Chunk
    first: int

    def __call__(self) -> _Part:
        return score_chunk(self.scoring, self.chunk, self.first)


def _in_order(
    works: Iterator[Callable[[], _Part]], threads: Executor | None, ahead: int
) -> Iterator[_Part]:
    if threads is None:
        for work in works:
            yield work()
        return
    waiting: deque[Future[_Part]] = deque()
    try:
        for work in works:
            waiting.append(threads.submit(work))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def score_chunk(scoring: BulkScoring, chunk: Chunk, first: int) -> _Part:
    """Check a chunk, whose first row is row `first` of the table, and score its good rows."""
    checked = check(scoring.rules, chunk)
    recorded = _recorded(checked, scoring.task, chunk.columns)
    if evidence := evidence_of(scoring.task, checked, first, scoring.options.coding):
        return _Part(chunk.count, recorded, None, coding=evidence)
    part = _Part(
        chunk.count,
        recorded,
        None,
        notes=(*_stand_ins(scoring, checked.stand_ins), *_doubts(scoring, chunk, checked, first)),
        truth=None if chunk.truth is None else truth_values(scoring.task, chunk.truth),
    )
    if not checked.count:
        return replace(part, scored=_scored(scoring, chunk, checked.array))
    if scoring.on_error == "refuse":
        return replace(
            part,
            problems=tuple(islice(checked.problems(first), MOST_PROBLEMS)),
            mistakes=tuple(checked.mistakes(first)),
            problem_count=checked.count,
        )
    good = ~checked.bad
    scored = _scored(scoring, chunk, checked.array[good])
    errors: list[str | None] = [None] * chunk.count
    for problem in checked.problems(first):
        text = f"{problem.field}: expected {problem.expected}, got {problem.got}"
        so_far = errors[problem.row - first]
        errors[problem.row - first] = f"{so_far}; {text}" if so_far else text
    values = tuple(_spread(array, good) for array in scored.values)
    reasons = [_spread_texts(texts, good) for texts in scored.reasons]
    spread = replace(scored, values=values, bad=checked.bad, errors=errors, reasons=reasons)
    return replace(part, scored=spread)


def _recorded(checked: Checked, task: RowTask, columns: Container[str]) -> NDArray[np.bool_]:
    """Return the fields that some good row has, bool[F]: most are by the first rows."""
    rows = checked.array
    some = np.zeros(rows.shape[1], np.bool_)
    if not checked.count:
        some[:] = np.logical_not(np.isnan(rows[:FIRST_ROWS]).all(axis=0))
    for place in np.flatnonzero(~some):
        if task.features[place].name in columns:
            some[place] = (~np.isnan(rows[:, place]) & ~checked.bad).any()
    return some


def _stand_ins(scoring: BulkScoring, fields: tuple[str, ...]) -> tuple[str, ...]:
    numbers = " or ".join(f"{number:g}" for number in scoring.task.tables.missing)
    return tuple(f"{numbers} in {name} was taken for not recorded" for name in fields)


def _doubts(scoring: BulkScoring, chunk: Chunk, checked: Checked, first: int) -> tuple[str, ...]:
    """Return a note where the first rows could be written in another coding as well."""
    if first > 1 or scoring.options.coding is not None:
        return ()
    if not (others := undecided(scoring.task, chunk, checked)):
        return ()
    own = scoring.task.tables.coding
    return (f"the codes were taken for {own}; they could be {listed(others, 5)} just as well",)


def _spread(values: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[Any]:
    """Return what was found of the good rows among all rows; the others have 0."""
    everywhere = np.zeros(len(good), values.dtype)
    everywhere[good] = values
    return everywhere


def _spread_texts(texts: Sequence[str | None], good: NDArray[np.bool_]) -> list[str | None]:
    left = iter(texts)
    return [next(left) if each else None for each in good.tolist()]


def _scored(scoring: BulkScoring, chunk: Chunk, array: NDArray[np.float32]) -> ScoredChunk:
    outputs = scoring.model.session.run(array) if len(array) else _nothing(scoring.task)
    values = scoring.columns_of(outputs, array)
    if len(array):
        scoring.model.observe(array, outputs)
    errors = [None] * len(array) if scoring.columns.errors else None
    reasons: list[Sequence[str | None]] = []
    if scoring.reasons and (count := scoring.options.reasons):
        adverse = scoring.task.decide(outputs, scoring.model.card.threshold)
        found = scoring.reasons(array, adverse)
        reasons = [[each[place] for each in found] for place in range(count)]
    good = np.zeros(len(array), np.bool_)
    return ScoredChunk(chunk.passthrough, values, good, errors, reasons)


def _nothing(task: RowTask) -> Outputs:
    """Return the outputs of no rows."""
    return {each.name: np.empty((0, *each.shape[1:]), each.dtype) for each in task.outputs}  # type: ignore[arg-type]
