"""Folders of pictures, without a server: every core reads and answers, a table comes out."""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.bulk.pictures.sources import Source, content, found
from service.bulk.pictures.table import Row, check_suffix, table
from service.contract.image import ImageTask
from service.errors import FieldProblem, InvalidPayload, ModelNotReady, PictureError
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import ModelLoader
from service.settings.limits import available_cores
from service.settings.settings import Settings
from service.tasks import TASKS

AT_A_TIME = 32  # pictures that a process is given
WORTH_PROCESSES = 256  # pictures; a process takes a second to start
MOST_PROBLEMS = 100

Progress = Callable[[int, int], None]
"""Told how many pictures are done, and of how many."""


@dataclass(frozen=True)
class Scored:
    """The numbers of pictures that were answered and that could not be read."""

    answered: int
    refused: int


Reading = Callable[[Sequence[Source]], list[Row]]


def bar(done: int, total: int) -> None:
    """Yield a progress bar on standard error if that is a terminal."""
    if sys.stderr.isatty():
        filled = round(30 * done / total)
        end = "\n" if done == total else ""
        print(f"\r[{'#' * filled:30}] {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


def score_pictures(
    task: ImageTask,
    input: Path,  # noqa: A002  what the command calls it
    output: Path,
    *,
    settings: Settings,
    model: str | None = None,
    on_error: Literal["refuse", "report"] = "report",
    processes: int | None = None,
    progress: Progress = bar,
) -> Scored:
    """Answer every picture of a folder (and the folders in it), a zip file, or one picture.

    `output` gets a row a picture, in the order of their names: `file`, the answer, its
    `probability`, that of every label, `in_distribution`, and `error`, why there is no answer. Its
    suffix says how: .csv, .ndjson or .parquet. It appears when it is complete. With
    `on_error="refuse"` one picture that cannot be read is enough for no output at all.

    `model` is another model of the task than its own. `processes` read and answer, by default one a
    core; `progress` is told as they go. Raises InvalidPayload (no such input, nothing in it, an
    output that cannot be written, or refused pictures), UnreadableArchive, ArtifactError,
    UnknownModel, ModelNotReady.
    """
    check_suffix(output)
    if on_error not in ("refuse", "report"):
        raise InvalidPayload([FieldProblem("on_error", "refuse or report", repr(on_error))])
    sources = found(input, output)
    name = model or task.name
    served_by(task.name, name, settings)  # a model that cannot answer is told before any reading
    reading = partial(answered, task.name, name, settings)
    refused: list[FieldProblem] = []
    done = answered_ones = 0
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with table(unfinished, output.suffix, task) as write:
            for rows in spread(reading, sources, processes or available_cores()):
                write(rows)
                bad = [row for row in rows if row.error is not None]
                refused += [problem_of(row) for row in bad][: MOST_PROBLEMS - len(refused)]
                done, answered_ones = done + len(rows), answered_ones + len(rows) - len(bad)
                progress(done, len(sources))
        if refused and on_error == "refuse":
            raise InvalidPayload(refused)
        unfinished.replace(output)
    except BrokenProcessPool as end:
        reason = "a process that ran it was ended from outside; for want of memory?"
        raise ModelNotReady(name, reason) from end
    except OSError as error:  # of reading, none comes here
        expected = "a file that can be written"
        raise InvalidPayload([FieldProblem("output", expected, f"{output}: {error}")]) from error
    finally:
        with suppress(OSError):  # it is gone, or never was
            unfinished.unlink()
    return Scored(answered_ones, done - answered_ones)


def problem_of(row: Row) -> FieldProblem:
    """Return the reason why a picture was not answered."""
    return FieldProblem(row.file, "a picture that can be read", str(row.error))


def spread(reading: Reading, sources: list[Source], processes: int) -> Iterator[list[Row]]:
    """Yield the rows of all pictures in their order, a few at a time, made by several processes.

    Threads would share one interpreter, and more than two of them wait for it.
    """
    chunks = (sources[at : at + AT_A_TIME] for at in range(0, len(sources), AT_A_TIME))
    if processes == 1 or len(sources) < WORTH_PROCESSES:
        yield from map(reading, chunks)
        return
    context = multiprocessing.get_context("spawn")  # a fork would share ONNX Runtime's threads
    with ProcessPoolExecutor(processes, context, _ignore_interrupts) as pool:
        waiting: deque[Future[list[Row]]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(reading, chunk))
                if len(waiting) > 2 * processes:  # no more at once than are soon to be written
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def answered(task: str, model: str, settings: Settings, sources: Sequence[Source]) -> list[Row]:
    """Read pictures and answer them, in this process, by a model of the picture task `task`."""
    served = served_by(task, model, settings)
    kind = served.task
    assert isinstance(kind, ImageTask)  # score_pictures was given it; only its name was sent here
    read = [_read(kind, source, settings) for source in sources]
    good = [image for image in read if not isinstance(image, str)]
    answers = iter(served.predict(np.stack(good)) if good else [])
    return [
        Row(source.name, error=image)
        if isinstance(image, str)
        else _row(source.name, kind, next(answers))
        for source, image in zip(sources, read, strict=True)
    ]


@lru_cache(maxsize=1)
def served_by(task: str, model: str, settings: Settings) -> LoadedModel:
    """Load the model on one core. Raises ArtifactError or UnknownModel, also for another task's."""
    return ModelLoader(settings.models_dir, TASKS, "cpu").load_for_task(task, model)


def _read(task: ImageTask, source: Source, settings: Settings) -> NDArray[np.uint8] | str:
    try:
        return task.read(
            content(source), max_pixels=settings.max_pixels, max_bytes=settings.picture_bytes
        )
    except (PictureError, OSError) as error:
        return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _row(name: str, task: ImageTask, answer: BaseModel) -> Row:
    facts = answer.model_dump()
    return Row(
        name,
        facts[task.answer],
        facts["probability"],
        tuple(facts["probabilities"]),
        facts["in_distribution"],
    )


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends the others
