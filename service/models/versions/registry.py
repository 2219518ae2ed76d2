"""The models of one folder by name, and the choice of the one that answers a call."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import structlog

from service.contract.task import Task
from service.errors import ArtifactError, UnknownModel
from service.models.artifacts.folder import list_models
from service.models.runtime.loaded import LoadedModel
from service.models.runtime.session import Device
from service.models.versions.loader import ModelLoader, VersionLoader
from service.models.versions.model_versions import ModelVersions
from service.observability.metrics.shared_counters import SharedCounters
from service.settings.limits import QueueLimits
from service.settings.version_policy import VersionPolicies

log = structlog.get_logger("foretell")


@dataclass(frozen=True)
class ModelSelector:
    """The model that a request names; None where it leaves the choice to the service."""

    model: str | None = None
    version: str | None = None
    """A number or a label."""


@dataclass
class ModelRegistry:
    """The models of one folder by name, on one device.

    One model is expected for each task, under the task's name, and every other that the folder
    holds (other recipes of a task, say). Each version is loaded by itself: one that fails disturbs
    no other, and none that answers already.
    """

    models_dir: Path
    tasks: Mapping[str, Task]
    device: Device = "auto"
    policy: VersionPolicies = field(default_factory=VersionPolicies)
    counters: SharedCounters = field(default_factory=SharedCounters)
    """Counters of what models compute, and of their loads."""
    queue: QueueLimits | None = None
    """Limits of a version's queue; None, where there are no callers: nothing is batched then."""
    loader: ModelLoader = field(init=False)
    _versions: dict[str, ModelVersions] = field(default_factory=dict)
    _defaults: dict[str, LoadedModel] = field(default_factory=dict)
    """The version for calls that name none, of models without canaries: most calls need to look
    no further."""
    _away: str | None = None
    """Reason why the folder seems to have gone away, since the last refresh."""
    _refreshing: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """Learn the names at once, so that a model is not unknown while it is being loaded."""
        self.loader = ModelLoader(
            self.models_dir, self.tasks, self.device, self.counters, self.queue
        )
        found: list[str] = []
        with suppress(ArtifactError):  # the first refresh says why
            found = list_models(self.models_dir)
        for name in sorted({*self.tasks, *found}):
            self._versions[name] = self._new_versions(name, required=True)

    @property
    def expected(self) -> list[str]:
        """Names of all models that are there or should be."""
        return sorted(self._versions)

    def refresh(self, only: str | None = None) -> None:
        """Follow the folder: new versions, changed labels, removed models.

        Takes milliseconds if nothing has changed, and seconds to load; requests go on meanwhile. A
        failure is logged, and kept for `not_ready` and `versions_of`.
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
                self._remember_default(versions)
            kept = {*self.tasks, *found}
            self._versions = {
                name: versions for name, versions in self._versions.items() if name in kept
            }

    def measure_again(self) -> None:
        """Time anew the models that were loaded on a busy machine, once it is quiet.

        Takes up to a few seconds; requests go on meanwhile, also those that wait in a queue. For
        one thread, not the event loop's.
        """
        for versions in self._versions.values():
            with self._refreshing:
                versions.measure_again()
                if self._versions.get(versions.name) is versions:
                    self._remember_default(versions)

    @property
    def awaits_quiet(self) -> bool:
        """True if a model is to be measured again."""
        return any(versions.awaits_quiet for versions in self._versions.values())

    def _remember_default(self, versions: ModelVersions) -> None:
        if versions.traffic.default and not versions.traffic.canaries:
            self._defaults[versions.name] = versions.traffic.default
        else:
            self._defaults.pop(versions.name, None)

    def _gone_away(self, reason: str) -> None:
        # The versions that answer go on answering.
        if self._away != reason:
            log.error("no models on disk", models_dir=str(self.models_dir), reason=reason)
        self._away = reason
        for versions in self._versions.values():
            versions.problem = reason

    def versions_of(self, name: str) -> ModelVersions:
        """Return all versions of a model. Raises UnknownModel."""
        if versions := self._versions.get(name):
            return versions
        raise UnknownModel(name, self.expected)

    def default_of(self, name: str) -> LoadedModel:
        """Return a model's default version. Raises UnknownModel or ModelNotReady."""
        return self._defaults.get(name) or self.versions_of(name).route()

    def for_model(
        self, name: str, version: str | None = None, request_id: str | None = None
    ) -> LoadedModel:
        """Return a version of a model: by number, by label, or the one for calls that name none.

        Canaries get their share of the latter by `request_id`; without an id, none. Raises
        UnknownModel or ModelNotReady.
        """
        if version is not None:
            return self.versions_of(name).version(version)
        return self._defaults.get(name) or self.versions_of(name).route(request_id)

    def for_task(
        self, task: str, choice: ModelSelector | None = None, request_id: str | None = None
    ) -> LoadedModel:
        """Return the model for a request to a task: the one it names, or else the task's own.

        Raises UnknownModel, also for a model of another task, or ModelNotReady.
        """
        if choice is None:
            return self._defaults.get(task) or self.for_model(task, None, request_id)
        name = task if choice.model is None else choice.model
        if name in self._versions:
            model = self.for_model(name, choice.version, request_id)
            if model.task.name == task:
                return model
        raise UnknownModel(name, self._models_of(task), task)

    def _models_of(self, task: str) -> list[str]:
        """Return the names of the models that answer calls to a task."""
        return [
            name
            for name, versions in sorted(self._versions.items())
            if versions.default and versions.default.task.name == task
        ]

    def close(self) -> None:
        """Give up every session."""
        for versions in self._versions.values():
            versions.close()
        self._defaults.clear()

    def not_ready(self) -> dict[str, str]:
        """Return the reason for each required model that cannot answer, by name."""
        return {
            name: versions.problem or "it is being loaded"
            for name, versions in self._versions.items()
            if versions.required and versions.default is None and not versions.unloaded
        }

    def _new_versions(self, name: str, required: bool) -> ModelVersions:
        folder = self.models_dir / name
        loader = VersionLoader(name, folder, self.loader.load_version, self.counters)
        return ModelVersions(name, folder, self.policy.of(name), loader, self.counters, required)
