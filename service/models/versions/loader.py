"""Loads versions from disk, and validates them: files, contract, graph and golden answers."""

import os
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.contract.task import Task
from service.errors import ArtifactError, ForetellError, UnknownModel
from service.models.artifacts.artifact import (
    BACKGROUND,
    GOLDEN,
    MODEL,
    background_of,
    golden_of,
    read_artifact,
)
from service.models.artifacts.labels import read_labels
from service.models.runtime.batcher import QUEUE, WAITING
from service.models.runtime.batching_plan import plan_batching
from service.models.runtime.loaded import LoadedModel
from service.models.runtime.session import BATCHES_RUN, Device, OnnxSession
from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric, SharedCounters
from service.settings.limits import QueueLimits

log = structlog.get_logger("foretell")

LOADS = Metric(
    "loads",
    ("model", "version"),
    ("loaded", "invalid"),
    (
        Counter(
            "foretell_model_loads_total",
            "Attempts to load a version",
            ("loaded", "invalid"),
            by="result",
        ),
    ),
)

Fingerprint = tuple[tuple[str | int, ...], ...]


@dataclass(frozen=True)
class ModelLoader:
    """Loads any version of any model in one folder, onto one device."""

    models_dir: Path
    tasks: Mapping[str, Task]
    device: Device = "auto"
    counters: SharedCounters = field(default_factory=SharedCounters)
    """Counters of what the loaded models compute."""
    queue: QueueLimits | None = None
    """Limits of a version's queue; None, where there are no callers: nothing is batched then, and
    no batch is timed."""

    def load_version(self, name: str, version: str | None = None) -> LoadedModel:
        """Load a version of a model, the newest by default, and validate it.

        Raises UnknownModel, ArtifactError or DeviceUnavailable.
        """
        start = time.perf_counter()
        artifact = read_artifact(self.models_dir, name, version)
        card = artifact.card
        task = self.tasks.get(card.task)
        if task is None:
            known = ", ".join(self.tasks)
            raise ArtifactError(f"task {card.task!r} is unknown; there are: {known}")
        if name in self.tasks and name != task.name:
            raise ArtifactError(f"the card is of task {task.name!r}, not {name!r}")
        contents = artifact.verify(task.contract)
        session = OnnxSession(contents[MODEL], self.device)
        session.check_signature(task.contract)
        batch, answers = golden_of(contents[GOLDEN])
        session.check_golden(batch, answers, tolerance=card.golden.tolerance)
        features = len(task.contract.features)
        rows = contents.get(BACKGROUND)
        background = None if rows is None else background_of(rows, features)
        queue = self.queue or QueueLimits(mode="off")
        plan = plan_batching(session, batch[0], queue)
        # From here on runs are counted.
        session.batches_run = self.counters.series(BATCHES_RUN, card.name, card.version)
        queued = self.counters.series(QUEUE, card.name, card.version)
        queued.values[WAITING] = 0  # a worker that died in this slot may have left some waiting
        load_ms = (time.perf_counter() - start) * 1000
        return LoadedModel(
            task, card, session, load_ms, batch[0].copy(), plan, queue, queued, background
        )

    def load_for_task(self, task: str, model: str | None = None) -> LoadedModel:
        """Load what calls to a task get that name no version; `model`: another of its models.

        For work without a service. Raises as `load_version`, and UnknownModel for a model of
        another task.
        """
        name = model or task
        loaded = self.load_version(name, read_labels(self.models_dir / name).stable)
        if loaded.task.name != task:
            raise UnknownModel(name, [task], task)
        return loaded


@dataclass(frozen=True)
class LoadFailure:
    """The reason why a version is invalid, and its files when it was found to be."""

    reason: str
    files: Fingerprint


@dataclass
class VersionLoader:
    """Loads versions of one model, each once until its files change."""

    name: str
    folder: Path
    load: Callable[[str, str], LoadedModel]
    """Loads a version by the model's name and its number, and validates it. Raises ForetellError.
    """
    counters: SharedCounters
    loading: str | None = None
    _files: dict[str, Fingerprint] = field(default_factory=dict)
    _failures: dict[str, LoadFailure] = field(default_factory=dict)

    def load_if_changed(self, version: str, before: LoadedModel | None) -> LoadedModel | None:
        """Return the version as its files are now.

        If they have not changed, or are invalid, that is `before`: the version that is served goes
        on being served.
        """
        files = fingerprint(self.folder / version)
        if before is not None and self._files[version] == files:
            self._failures.pop(version, None)
            return before
        failure = self._failures.get(version)
        if failure and failure.files == files:
            return before
        self.loading = version
        try:
            loaded = self.load(self.name, version)
        except ForetellError as error:
            self._fail(version, LoadFailure(str(error), files))
            log.error("model invalid", model=self.name, version=version, reason=str(error))
            return before
        except Exception as error:  # one broken model must not keep the others from loading
            self._fail(version, LoadFailure(f"{type(error).__name__}: {error}", files))
            log.exception("model invalid", model=self.name, version=version)
            return before
        finally:
            self.loading = None
        if fingerprint(self.folder / version) != files:
            return before  # still being written: the next refresh loads it
        self._files[version] = files
        self._failures.pop(version, None)
        self.counters.series(LOADS, self.name, version).add(1, 0)
        log.info("model loaded", model=self.name, **loaded.facts)
        return loaded

    def _fail(self, version: str, failure: LoadFailure) -> None:
        self._failures[version] = failure
        self.counters.series(LOADS, self.name, version).add(0, 1)

    def reason(self, version: str) -> str | None:
        """Return why the files that a version has now are invalid, if they are."""
        failure = self._failures.get(version)
        return failure.reason if failure else None

    def forget(self, found: Container[str], loaded: Container[str]) -> None:
        """Drop what is known of versions that are no longer `found` on disk, or `loaded`."""
        self._failures = {v: failure for v, failure in self._failures.items() if v in found}
        self._files = {v: files for v, files in self._files.items() if v in loaded}


def fingerprint(folder: Path) -> Fingerprint:
    """Return what differs if the files of a folder have changed; none of them is read."""
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(map(_facts, entries)))
    except OSError as error:
        return ((error.errno or 0,),)


def _facts(entry: "os.DirEntry[str]") -> tuple[str | int, ...]:
    try:
        stat = entry.stat()
    except OSError as error:  # a link to nothing: the other files can change all the same
        return entry.name, error.errno or 0
    return entry.name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
