"""Which model answers a call; the versions of each are `versions.py`'s."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import structlog

from service.contract.task import Task
from service.errors import ArtifactError, UnknownModel
from service.models.artifacts.artifact import read_artifact
from service.models.artifacts.folder import list_models
from service.models.artifacts.labels import read_labels
from service.models.runtime.batcher import QUEUE, WAITING
from service.models.runtime.batching_plan import plan_batching
from service.models.runtime.loaded import MAX_EVENT_LOOP_US, LoadedModel
from service.models.runtime.session import BATCHES_RUN, Device, OnnxSession
from service.models.versions.loader import VersionLoader
from service.models.versions.model_versions import ModelVersions
from service.observability.metrics.shared_counters import SharedCounters
from service.settings.limits import QueueLimits
from service.settings.version_policy import VersionPolicies

log = structlog.get_logger("foretell")


@dataclass(frozen=True)
class ModelSelector:
    """Which model a request asks for; None where it leaves that to the service."""

    model: str | None = None
    version: str | None = None
    """A number or a label."""


@dataclass
class ModelRegistry:
    """Models by name, from one folder, on one device.

    Expected are one model for each task, under the task's name, and whatever else lies in the
    folder (other recipes of a task, say). Each version is loaded alone: one that fails disturbs no
    other, and none that answers already.
    """

    models_dir: Path
    tasks: Mapping[str, Task]
    device: Device = "auto"
    policy: VersionPolicies = field(default_factory=VersionPolicies)
    counters: SharedCounters = field(default_factory=SharedCounters)
    """Where it is counted what models compute and what becomes of them."""
    queue: QueueLimits | None = None
    """What may wait for a version; None, where there are no callers: it is not measured whether
    they would share runs."""
    _versions: dict[str, ModelVersions] = field(default_factory=dict)
    _defaults: dict[str, LoadedModel] = field(default_factory=dict)
    """What a call gets that names no version, of models without canaries: one look into this is all
    that most calls need."""
    _away: str | None = None
    """Why the folder is thought to have gone away, since it was last looked at."""
    _refreshing: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """Know the names at once, so that a model is not unknown while it is being loaded."""
        found: list[str] = []
        with suppress(ArtifactError):  # the first refresh says why
            found = list_models(self.models_dir)
        for name in sorted({*self.tasks, *found}):
            self._versions[name] = self._new_versions(name, required=True)

    @property
    def expected(self) -> list[str]:
        """Names of all models there are or should be."""
        return sorted(self._versions)

    def refresh(self, only: str | None = None) -> None:
        """Follow the folder: new versions and labels, and what was removed. Takes its time.

        Requests go on meanwhile. What fails is logged, and kept for `not_ready` and `versions_of`.
        """
        with self._refreshing:
            try:
                found = list_models(self.models_dir, self._versions)
            except ArtifactError as error:
                self._gone_away(str(error))
                return
            if not found and any(versions.default for versions in self._versions.values()):
                # A volume that went away looks like this; models removed on purpose do not.
                self._gone_away(f"there are no models in {self.models_dir} any more")
                return
            self._away = None
            for name in [only] if only else sorted({*self._versions, *found}):
                # A model that comes later can be no reason to take the service out of use.
                versions = self._versions.get(name) or self._new_versions(name, required=False)
                versions.refresh()
                self._versions = self._versions | {name: versions}
                if versions.traffic.default and not versions.traffic.canaries:
                    self._defaults[name] = versions.traffic.default
                else:
                    self._defaults.pop(name, None)
            kept = {*self.tasks, *found}
            self._versions = {
                name: versions for name, versions in self._versions.items() if name in kept
            }

    def _gone_away(self, reason: str) -> None:
        # What answers goes on answering.
        if self._away != reason:
            log.error("no models on disk", models_dir=str(self.models_dir), reason=reason)
        self._away = reason
        for versions in self._versions.values():
            versions.problem = reason

    def versions_of(self, name: str) -> ModelVersions:
        """All versions of a model. Raises UnknownModel."""
        if versions := self._versions.get(name):
            return versions
        raise UnknownModel(name, self.expected)

    def default_of(self, name: str) -> LoadedModel:
        """The version of a model that answers by default. Raises UnknownModel or ModelNotReady."""
        return self._defaults.get(name) or self.versions_of(name).route()

    def for_model(
        self, name: str, version: str | None = None, request_id: str | None = None
    ) -> LoadedModel:
        """A version of a model: by number, by label, or the one for calls that name none.

        Of those, canaries get their share by `request_id`; without an id, none. Raises UnknownModel
        or ModelNotReady.
        """
        if version is not None:
            return self.versions_of(name).version(version)
        return self._defaults.get(name) or self.versions_of(name).route(request_id)

    def for_task(
        self, task: str, choice: ModelSelector | None = None, request_id: str | None = None
    ) -> LoadedModel:
        """The model that answers a request to a task: the one asked for, or else the task's own.

        Raises UnknownModel, also for a model of another task, or ModelNotReady.
        """
        if choice is None:
            return self._defaults.get(task) or self.for_model(task, None, request_id)
        name = task if choice.model is None else choice.model
        if name in self._versions:
            served = self.for_model(name, choice.version, request_id)
            if served.task.name == task:
                return served
        raise UnknownModel(name, [n for n, answers in self._task_of() if answers == task], task)

    def _task_of(self) -> list[tuple[str, str]]:
        """Models that answer, by name, each with its task's."""
        lines = sorted(self._versions.items())
        return [(name, versions.default.task.name) for name, versions in lines if versions.default]

    def close(self) -> None:
        """Let go of every session."""
        for versions in self._versions.values():
            versions.close()
        self._defaults.clear()

    def not_ready(self) -> dict[str, str]:
        """Reason by name for each model that is needed and cannot answer; empty when all can."""
        return {
            name: versions.problem or "it is being loaded"
            for name, versions in self._versions.items()
            if versions.required and versions.default is None and not versions.unloaded
        }

    def load(self, name: str, version: str | None = None) -> LoadedModel:
        """Load a version of a model, the newest by default, and prove it: files, contract, answers.

        Raises UnknownModel, ArtifactError or DeviceUnavailable.
        """
        start = time.perf_counter()
        artifact = read_artifact(self.models_dir, name, version)
        card = artifact.card
        task = self.tasks.get(card.task)
        if task is None:
            raise ArtifactError(
                f"task {card.task!r} is unknown; there are: {', '.join(self.tasks)}"
            )
        if name in self.tasks and name != task.name:
            raise ArtifactError(f"the card is of task {task.name!r}, not {name!r}")
        artifact.verify(task.contract)
        session = OnnxSession(artifact.model, self.device)
        session.check_signature(task.contract)
        batch, answers = artifact.golden()
        session.check_golden(batch, answers, tolerance=card.golden.tolerance)
        row_us = session.row_us(batch[0])
        background, queue = artifact.background(), self.queue or QueueLimits(mode="off")
        batching = plan_batching(session, batch[0], row_us, MAX_EVENT_LOOP_US, queue.mode)
        session.batches_run = self.counters.series(
            BATCHES_RUN, card.name, card.version
        )  # from here on
        queued = self.counters.series(QUEUE, card.name, card.version)
        queued.values[WAITING] = 0  # a worker here before may have died with some waiting
        load_ms = (time.perf_counter() - start) * 1000
        return LoadedModel(
            task, card, session, load_ms, row_us, batching, queue, queued, background
        )

    def load_for(self, task: str, model: str | None = None) -> LoadedModel:
        """Load what calls to a task get that name no version; `model`: another of its models.

        For work without a service. Raises as `load`, UnknownModel also for another task's model.
        """
        name = model or task
        served = self.load(name, read_labels(self.models_dir / name).stable)
        if served.task.name != task:
            raise UnknownModel(name, [task], task)
        return served

    def _new_versions(self, name: str, required: bool) -> ModelVersions:
        folder = self.models_dir / name
        trials = VersionLoader(name, folder, self.load, self.counters)
        return ModelVersions(name, folder, self.policy.of(name), trials, self.counters, required)
