"""Rows in, the same rows with answers out, in their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.bulk.tables.chunks import AnswerColumns, Chunk, ScoredChunk
from service.bulk.tables.validation import check
from service.contract.messages import MOST_PROBLEMS
from service.contract.probability import ROUNDING
from service.contract.tabular import TabularTask
from service.contract.uncertainty import RangeCheck
from service.errors import InvalidOutput, InvalidRows, RowProblem
from service.models.runtime.loaded import LoadedModel

OnError = Literal["refuse", "report"]


@dataclass(frozen=True)
class BulkScoring:
    """How one portfolio is scored: by which model, and what becomes of bad rows."""

    served: LoadedModel
    on_error: OnError

    @property
    def task(self) -> TabularTask:
        """What its rows are."""
        assert isinstance(self.served.task, TabularTask)
        return self.served.task

    @property
    def names(self) -> AnswerColumns:
        """The columns that its answers have."""
        return AnswerColumns(
            self.task.decision,
            errors=self.on_error == "report",
            confidence=self.served.card.confidence is not None,
        )

    @cached_property
    def range_check(self) -> RangeCheck | None:
        """What tells rows unlike those of training, if the model's card knows."""
        confidence = self.served.card.confidence
        return None if confidence is None else self.task.range_check(confidence)


@dataclass(frozen=True)
class _Part:
    """What became of some rows."""

    count: int
    scored: ScoredChunk | None
    problems: list[RowProblem]
    problem_count: int


def score(
    portfolio: BulkScoring,
    tables: Iterable[Chunk],
    threads: Executor | None = None,
    ahead: int = 1,
) -> Iterator[ScoredChunk]:
    """Answers to all rows, some at a time; with threads, `ahead` parts are worked on at once.

    Where bad rows refuse the portfolio, it is checked to its end, and InvalidRows raised then.
    """
    problems: list[RowProblem] = []
    count = 0
    for part in _in_order(_works(portfolio, tables), threads, ahead):
        count += part.problem_count
        problems += part.problems[: MOST_PROBLEMS - len(problems)]
        if part.scored is not None and not count:
            yield part.scored
    if count:
        raise InvalidRows(problems, count)


def _works(portfolio: BulkScoring, tables: Iterable[Chunk]) -> Iterator[Callable[[], _Part]]:
    first = 1
    for rows in tables:
        yield _Work(portfolio, rows, first)
        first += rows.count


@dataclass(frozen=True)
class _Work:
    portfolio: BulkScoring
    rows: Chunk
    first: int

    def __call__(self) -> _Part:
        return score_rows(self.portfolio, self.rows, self.first)


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


def score_rows(portfolio: BulkScoring, rows: Chunk, first: int) -> _Part:
    """Check some rows, the first of which is row `first`, and score those that are good."""
    checked = check(portfolio.task.features, rows)
    if not checked.count:
        return _Part(rows.count, _scored(portfolio, rows, checked.array), [], 0)
    if portfolio.on_error == "refuse":
        listed = [p for p, _ in zip(checked.problems(first), range(MOST_PROBLEMS), strict=False)]
        return _Part(rows.count, None, listed, checked.count)
    good = ~checked.bad
    scored = _scored(portfolio, rows, checked.array[good])
    probability = np.full(rows.count, np.nan)
    probability[good] = scored.probability
    errors: list[str | None] = [None] * rows.count
    for problem in checked.problems(first):
        text = f"{problem.field}: expected {problem.expected}, got {problem.got}"
        so_far = errors[problem.row - first]
        errors[problem.row - first] = f"{so_far}; {text}" if so_far else text
    spread = replace(
        scored,
        probability=probability,
        decision=_spread(scored.decision, good),
        errors=errors,
        decided=None if scored.decided is None else _spread(scored.decided, good),
        familiar=None if scored.familiar is None else _spread(scored.familiar, good),
    )
    return _Part(rows.count, spread, [], 0)


def _spread(values: NDArray[np.bool_], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Among all rows what was found of the good ones."""
    everywhere = np.zeros(len(good), np.bool_)
    everywhere[good] = values
    return everywhere


def _scored(portfolio: BulkScoring, rows: Chunk, array: NDArray[np.float32]) -> ScoredChunk:
    if len(array):
        outputs = portfolio.served.session.run(array)
        probability = _checked(outputs["probability"])
        portfolio.served.observe(array, outputs)
    else:
        probability = np.empty(0, np.float64)
    decision = probability >= portfolio.served.card.threshold
    errors = [None] * len(array) if portfolio.names.errors else None
    confidence, ranges = portfolio.served.card.confidence, portfolio.range_check
    if confidence is None or ranges is None:
        return ScoredChunk(rows.passthrough, probability, decision, errors)
    decided, familiar = confidence.sets.decided(probability), ~ranges.outside(array)
    return ScoredChunk(rows.passthrough, probability, decision, errors, decided, familiar)


def _checked(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    # float64, as a row by itself is answered: the same digits for the same float32.
    if not ((probability >= 0) & (probability <= 1 + ROUNDING)).all():
        raise InvalidOutput("the model answered a value that is not a probability in 0..1")
    return np.minimum(probability.astype(np.float64), 1.0)
