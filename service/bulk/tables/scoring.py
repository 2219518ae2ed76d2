"""Chunks of rows in, the same rows with answers out, in their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.bulk.tables.chunks import AnswerColumns, Chunk, ScoredChunk
from service.bulk.tables.validation import check
from service.contract.messages import MOST_PROBLEMS
from service.contract.rows import Columns, RowTask
from service.contract.signature import Outputs
from service.errors import InvalidRows, RowProblem
from service.models.runtime.loaded import LoadedModel

OnError = Literal["refuse", "report"]


@dataclass(frozen=True)
class BulkScoring:
    """The way a table is scored: its task, the model, and what becomes of bad rows."""

    task: RowTask
    model: LoadedModel
    on_error: OnError

    @property
    def columns(self) -> AnswerColumns:
        """The columns of the answers."""
        columns = self.task.answer_columns(self.model.card.confidence is not None)
        return AnswerColumns(columns, errors=self.on_error == "report")

    @cached_property
    def columns_of(self) -> Callable[[Outputs, NDArray[np.float32]], Columns]:
        """The function from outputs to columns, of RowTask.column_writer."""
        card = self.model.card
        return self.task.column_writer(card.threshold, card.confidence)


@dataclass(frozen=True)
class _Part:
    """The outcome of one chunk: its answers, or the problems that refuse the table."""

    count: int
    scored: ScoredChunk | None
    problems: list[RowProblem]
    problem_count: int


def score(
    scoring: BulkScoring,
    chunks: Iterable[Chunk],
    threads: Executor | None = None,
    ahead: int = 1,
) -> Iterator[ScoredChunk]:
    """Yield the answers to all chunks in their order; with threads, `ahead` are scored at once.

    If bad rows refuse the table, it is checked to its end and InvalidRows raised then.
    """
    problems: list[RowProblem] = []
    count = 0
    for part in _in_order(_works(scoring, chunks), threads, ahead):
        count += part.problem_count
        problems += part.problems[: MOST_PROBLEMS - len(problems)]
        if part.scored is not None and not count:
            yield part.scored
    if count:
        raise InvalidRows(problems, count)


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
    checked = check(scoring.task.features, chunk)
    if not checked.count:
        return _Part(chunk.count, _scored(scoring, chunk, checked.array), [], 0)
    if scoring.on_error == "refuse":
        listed = [p for p, _ in zip(checked.problems(first), range(MOST_PROBLEMS), strict=False)]
        return _Part(chunk.count, None, listed, checked.count)
    good = ~checked.bad
    scored = _scored(scoring, chunk, checked.array[good])
    errors: list[str | None] = [None] * chunk.count
    for problem in checked.problems(first):
        text = f"{problem.field}: expected {problem.expected}, got {problem.got}"
        so_far = errors[problem.row - first]
        errors[problem.row - first] = f"{so_far}; {text}" if so_far else text
    values = tuple(_spread(array, good) for array in scored.values)
    spread = replace(scored, values=values, bad=checked.bad, errors=errors)
    return _Part(chunk.count, spread, [], 0)


def _spread(values: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[Any]:
    """Return what was found of the good rows among all rows; the others have 0."""
    everywhere = np.zeros(len(good), values.dtype)
    everywhere[good] = values
    return everywhere


def _scored(scoring: BulkScoring, chunk: Chunk, array: NDArray[np.float32]) -> ScoredChunk:
    outputs = scoring.model.session.run(array) if len(array) else _nothing(scoring.task)
    values = scoring.columns_of(outputs, array)
    if len(array):
        scoring.model.observe(array, outputs)
    errors = [None] * len(array) if scoring.columns.errors else None
    return ScoredChunk(chunk.passthrough, values, np.zeros(len(array), np.bool_), errors)


def _nothing(task: RowTask) -> Outputs:
    """Return the outputs of no rows."""
    return {each.name: np.empty((0, *each.shape[1:]), each.dtype) for each in task.outputs}  # type: ignore[arg-type]
