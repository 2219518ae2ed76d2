"""All versions of one model: on disk, loaded, and the default among them.

One thread at a time refreshes them; requests read meanwhile without a lock, for what they read is
replaced whole. A version that is no longer served is freed when the last request that holds it
ends.
"""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import structlog

from service.errors import ArtifactError, ModelNotReady, UnknownModel
from service.models.artifacts.artifact import read_artifact
from service.models.artifacts.card import Card
from service.models.artifacts.folder import is_unloaded, list_versions
from service.models.artifacts.labels import Labels, read_labels
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import VersionLoader
from service.models.versions.remeasurement import Remeasurement
from service.models.versions.traffic import CANARY_CALLS, Traffic, build_traffic_split
from service.observability.metrics.shared_counters import SharedCounters
from service.settings.version_policy import VersionPolicy

log = structlog.get_logger("foretell")

State = Literal["ready", "loading", "invalid", "not_served", "draining"]


@dataclass(frozen=True)
class VersionState:
    """The state of one version.

    ready: it answers; loading: not yet; invalid: not until its files change; not_served: on disk,
    and not among those that the policy or a label serves; draining: no longer served, but requests
    under way still hold it.
    """

    version: str
    state: State
    reason: str | None
    """Reason why it is invalid; if it is ready, why the files on disk are not those that answer."""
    labels: tuple[str, ...]


@dataclass
class ModelVersions:
    """The versions of one model."""

    name: str
    folder: Path
    policy: VersionPolicy
    loader: VersionLoader
    counters: SharedCounters
    required: bool
    """True if the service is not ready without it."""
    remeasurement: Remeasurement = field(default_factory=Remeasurement)
    default: LoadedModel | None = None
    """The version for calls that name none."""
    loaded: Mapping[str, LoadedModel] = field(default_factory=dict)
    """Versions that answer, by number."""
    labels: Labels = field(default_factory=Labels)
    traffic: Traffic = field(default_factory=Traffic)
    unloaded: bool = False
    """True if an admin took it out of use."""
    problem: str | None = None
    """Reason why the model as a whole is not as it should be: its folder or its labels cannot be
    read, or no version can answer."""
    _found: list[str] = field(default_factory=list)
    _misread: str | None = None
    """Reason why labels.json, as it is now, cannot be read."""
    _leaving: list["weakref.ref[LoadedModel]"] = field(default_factory=list)

    def refresh(self) -> None:
        """Follow the folder: load and validate new versions, stop serving the rest.

        No version that answers is given up before another can take its place.
        """
        try:
            self._found = list_versions(self.folder.parent, self.name)
            self.unloaded = is_unloaded(self.folder)
        except ArtifactError as error:
            self._out_of_sight(str(error))
            return
        self._follow_labels()
        problem = self._misread
        if self.unloaded:
            self._swap({}, None, "it was unloaded, and stays so until it is loaded again")
            return
        if problem and self.default is None:
            # The labels may want any version, so none may answer.
            self.problem = problem
            return
        candidates, count = self.policy.candidates(self._found)
        chosen: dict[str, LoadedModel] = {}
        for version in candidates:
            if len(chosen) < count and (loaded := self._load_if_changed(version)):
                chosen[version] = loaded
        newest = next(iter(chosen.values()), None)
        for version in {*self.labels.versions.values()} & {*self._found} - {*chosen}:
            if loaded := self._load_if_changed(version):
                chosen[version] = loaded
        stable = self.labels.stable
        default = newest if stable is None else chosen.get(stable)
        if default is None:
            problem = problem or self._why_none(candidates)
            if default := self.default if self._found else None:
                chosen.setdefault(default.card.version, default)
        self._swap(chosen, default, problem)

    def measure_again(self) -> None:
        """Replace each version whose plan was made on a busy machine, once the machine is quiet."""
        renewed = {v: self.remeasurement.renew(model) for v, model in self.loaded.items()}
        if any(renewed[version] is not model for version, model in self.loaded.items()):
            default = self.default and renewed[self.default.card.version]
            self._swap(renewed, default, self.problem)

    @property
    def awaits_quiet(self) -> bool:
        """True if a version is to be measured again."""
        return any(map(self.remeasurement.wanted, self.loaded.values()))

    def route(self, request_id: str | None = None) -> LoadedModel:
        """Return the version for a call that names none, by its id. Raises ModelNotReady."""
        if model := self.traffic.route(request_id):
            if self.traffic.canaries:
                self.counters.series(CANARY_CALLS, self.name, model.card.version).add(1)
            return model
        raise ModelNotReady(self.name, self.problem or "it is being loaded")

    def version(self, wanted: str) -> LoadedModel:
        """Return the version of this number or label. Raises UnknownModel or ModelNotReady."""
        number = self.labels.versions.get(wanted, wanted)
        if model := self.loaded.get(number):
            return model
        asked = f"{self.name}/{wanted}"
        if reason := self.loader.reason(number):
            raise ModelNotReady(asked, reason)
        if number in self._found and (number == self.loader.loading or not self.loaded):
            raise ModelNotReady(asked, self.problem or "it is being loaded")
        if wanted in self.labels.root:
            raise ModelNotReady(asked, f"the label points at version {number}, which is not there")
        raise UnknownModel(asked, [f"{self.name}/{known}" for known in self.choices])

    def card(self, wanted: str) -> Card:
        """Return the card of a version by number or label, served or on disk only.

        Raises UnknownModel, or ModelNotReady if the file is no card.
        """
        number = self.labels.versions.get(wanted, wanted)
        if model := self.loaded.get(number):
            return model.card
        asked = f"{self.name}/{wanted}"
        if number not in self._found:
            raise UnknownModel(asked, [f"{self.name}/{found}" for found in self._found])
        try:
            return read_artifact(self.folder.parent, self.name, number).card
        except ArtifactError as error:
            raise ModelNotReady(asked, str(error)) from error

    def close(self) -> None:
        """Give up every session."""
        if self.traffic.shadow:
            self.traffic.shadow.close()
        self.loaded, self.default, self.traffic = {}, None, Traffic()

    @property
    def choices(self) -> list[str]:
        """The versions that are loaded, then their labels: all that calls may name."""
        labels = (label for label, target in self.labels.versions.items() if target in self.loaded)
        return [*sorted(self.loaded, key=int), *sorted(labels)]

    @property
    def on_disk(self) -> list[str]:
        """Versions on disk, oldest first."""
        return list(self._found)

    def states(self) -> list[VersionState]:
        """Return the state of every version on disk or in memory, oldest first."""
        leaving = {model.card.version for ref in self._leaving if (model := ref())}
        every = sorted({*self._found, *self.loaded, *leaving}, key=int)
        return [self._state(version, leaving) for version in every]

    def _state(self, version: str, leaving: set[str]) -> VersionState:
        reason = self.loader.reason(version)
        state: State = "not_served"
        if version in self.loaded:
            state = "ready"
            if reason:
                reason = f"its files have changed, and are invalid: {reason}"
            elif version not in self._found:
                reason = "its folder is gone, and no other version can take its place"
        elif version == self.loader.loading:
            state, reason = "loading", None
        elif reason:
            state = "invalid"
        elif version in leaving:
            state = "draining"
        return VersionState(version, state, reason, tuple(self.labels.of(version)))

    def _out_of_sight(self, reason: str) -> None:
        # The folder may ask for anything, so all stays as it is.
        if self.problem != reason:
            log.error("folder unreadable", model=self.name, reason=reason)
        self.problem = reason

    def _follow_labels(self) -> None:
        try:
            labels = read_labels(self.folder)
        except ArtifactError as error:
            if self._misread != str(error):
                log.error("labels invalid", model=self.name, reason=str(error))
            self._misread = str(error)
            return
        self._misread = None
        if labels != self.labels:
            log.info("labels changed", model=self.name, labels=labels.model_dump())
            self.labels = labels

    def _load_if_changed(self, version: str) -> LoadedModel | None:
        return self.loader.load_if_changed(version, self.loaded.get(version))

    def _why_none(self, candidates: list[str]) -> str:
        stable = self.labels.stable
        if not self._found:
            return f"there is no model {self.name!r} in {self.folder.parent}"
        if stable is None and not candidates:
            return f"none of the versions {self.policy} is there, but {', '.join(self._found)}"
        if problem := self.labels.stable_problem(self._found):
            return problem
        culprit = stable or candidates[0]
        return self.loader.reason(culprit) or f"version {culprit} is being loaded"

    def _swap(
        self, chosen: Mapping[str, LoadedModel], default: LoadedModel | None, problem: str | None
    ) -> None:
        # A model that was only measured again has the session that it had.
        sessions = [model.session for model in chosen.values()]
        gone = [model for model in self.loaded.values() if model.session not in sessions]
        if self.default and default and default.session is not self.default.session:
            log.info(
                "version changed",
                model=self.name,
                version=default.card.version,
                before=self.default.card.version,
            )
        self.loaded, self.default, self.problem = chosen, default, problem
        before, self.traffic = (
            self.traffic,
            build_traffic_split(self.labels, chosen, default, self.traffic, self.counters),
        )
        if before.shadow and before.shadow is not self.traffic.shadow:
            before.shadow.close()
        self.loader.forget(self._found, chosen)
        self._leaving = [ref for ref in self._leaving if ref()] + [weakref.ref(m) for m in gone]
        for model in gone:
            log.info("version released", model=self.name, version=model.card.version)
