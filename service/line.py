"""All versions of one model: which lie on disk, which are loaded, which of them answers.

One thread at a time refreshes a line; requests read it meanwhile without a lock, for what they read
is replaced whole. A version that is let go of is freed when the last request that holds it ends.
"""

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from service.artifact import versions
from service.errors import ArtifactError, ForetellError, ModelNotReady, UnknownModel
from service.labels import Labels, read_labels
from service.policy import Rule

if TYPE_CHECKING:
    from service.repository import Served

log = structlog.get_logger("foretell")

UNLOADED = "unloaded"
"""A file of this name beside the versions: the model is to answer nobody."""

Fingerprint = tuple[tuple[str | int, ...], ...]
State = Literal["ready", "loading", "refused", "idle", "draining"]


@dataclass(frozen=True)
class VersionState:
    """What has become of one version.

    ready: answers; loading: not yet; refused: never until its files change; idle: on disk, and not
    among those that are served; draining: let go of, but requests under way still hold it.
    """

    version: str
    state: State
    reason: str | None
    """Why it is refused; of one that is ready: why what lies on disk now is not what answers."""
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Why a version is not served, and what its files were then."""

    reason: str
    files: Fingerprint


@dataclass
class Line:
    """The versions of one model; `load` makes one ready to answer, or raises ForetellError."""

    name: str
    folder: Path
    rule: Rule
    load: Callable[[str, str], "Served"]
    required: bool
    """Whether the service is not ready without it."""
    answering: "Served | None" = None
    """What calls get that name no version."""
    loaded: Mapping[str, "Served"] = field(default_factory=dict)
    labels: Labels = field(default_factory=Labels)
    unloaded: bool = False
    """Whether an operator took it out of use."""
    problem: str | None = None
    """What is wrong with the model as a whole: its labels, or that no version can answer."""
    _found: list[str] = field(default_factory=list)
    _files: dict[str, Fingerprint] = field(default_factory=dict)
    _refused: dict[str, Refusal] = field(default_factory=dict)
    _loading: str | None = None
    _leaving: list["weakref.ref[Served]"] = field(default_factory=list)

    def refresh(self) -> None:
        """Do what the folder says now: load what is new and proves itself, let go of the rest.

        Nothing that answers is let go of before something else can take its place.
        """
        self._found = versions(self.folder.parent, self.name)
        self._refused = {v: r for v, r in self._refused.items() if v in self._found}
        problem = self._follow_labels()
        self.unloaded = (self.folder / UNLOADED).exists()
        if self.unloaded:
            self._swap({}, None, "it was unloaded, and stays so until it is loaded again")
            return
        if problem and self.answering is None:
            # Which version is wanted cannot be known, so none may answer.
            self.problem = problem
            return
        candidates, count = self.rule.candidates(self._found)
        chosen: dict[str, Served] = {}
        for version in candidates:
            if len(chosen) < count and (served := self._proved(version)):
                chosen[version] = served
        newest = next(iter(chosen.values()), None)
        for version in set(self.labels.root.values()) & set(self._found):
            if served := self._proved(version):
                chosen[version] = served
        stable = self.labels.stable
        answering = newest if stable is None else chosen.get(stable)
        if answering is None:
            problem = self._why_none(candidates)
            if answering := self.answering if self._found else None:
                chosen.setdefault(answering.card.version, answering)
        self._swap(chosen, answering, problem)

    def get(self) -> "Served":
        """The version for calls that name none. Raises ModelNotReady."""
        if served := self.answering:
            return served
        raise ModelNotReady(self.name, self.problem or "it is being loaded")

    def version(self, wanted: str) -> "Served":
        """The version of this number or label. Raises UnknownModel or ModelNotReady."""
        number = self.labels.root.get(wanted, wanted)
        if served := self.loaded.get(number):
            return served
        asked = f"{self.name}/{wanted}"
        if refusal := self._refused.get(number):
            raise ModelNotReady(asked, refusal.reason)
        if number in self._found and (number == self._loading or not self.loaded):
            raise ModelNotReady(asked, self.problem or "it is being loaded")
        if wanted in self.labels.root:
            raise ModelNotReady(asked, f"the label points at version {number}, which is not there")
        raise UnknownModel(asked, [f"{self.name}/{known}" for known in self.choices])

    @property
    def choices(self) -> list[str]:
        """What calls may ask for: the versions that are loaded, then their labels."""
        labels = (label for label, target in self.labels.root.items() if target in self.loaded)
        return [*sorted(self.loaded, key=int), *sorted(labels)]

    @property
    def found(self) -> list[str]:
        """Versions on disk, oldest first."""
        return list(self._found)

    def states(self) -> list[VersionState]:
        """Every version on disk or in memory, oldest first."""
        leaving = {served.card.version for ref in self._leaving if (served := ref())}
        every = sorted({*self._found, *self.loaded, *leaving}, key=int)
        return [self._state(version, leaving) for version in every]

    def _state(self, version: str, leaving: set[str]) -> VersionState:
        refusal = self._refused.get(version)
        state: State = "idle"
        reason = refusal.reason if refusal else None
        if version in self.loaded:
            state = "ready"
            if reason:
                reason = f"its files have changed, and are refused: {reason}"
            elif version not in self._found:
                reason = "its folder is gone, and no other version can take its place"
        elif version == self._loading:
            state, reason = "loading", None
        elif refusal:
            state = "refused"
        elif version in leaving:
            state = "draining"
        return VersionState(version, state, reason, tuple(self.labels.of(version)))

    def _follow_labels(self) -> str | None:
        try:
            labels = read_labels(self.folder)
        except ArtifactError as error:
            if self.problem != str(error):
                log.error("labels refused", model=self.name, reason=str(error))
            return str(error)
        if labels != self.labels:
            log.info("labels changed", model=self.name, labels=labels.root)
            self.labels = labels
        return None

    def _why_none(self, candidates: list[str]) -> str:
        stable = self.labels.stable
        if not self._found:
            return f"there is no model {self.name!r} in {self.folder.parent}"
        if stable is None and not candidates:
            return f"none of the versions {self.rule} is there, but {', '.join(self._found)}"
        if stable is not None and stable not in self._found:
            return f"the label stable points at version {stable}, which is not there"
        culprit = stable or candidates[0]
        refusal = self._refused.get(culprit)
        return refusal.reason if refusal else f"version {culprit} is being loaded"

    def _proved(self, version: str) -> "Served | None":
        """The version as its files are now; as they were, if the new ones are refused."""
        before = self.loaded.get(version)
        files = fingerprint(self.folder / version)
        if before is not None and self._files[version] == files:
            self._refused.pop(version, None)
            return before
        refusal = self._refused.get(version)
        if refusal and refusal.files == files:
            return before
        self._loading = version
        try:
            served = self.load(self.name, version)
        except ForetellError as error:
            self._refuse(version, str(error), files)
            log.error("model refused", model=self.name, version=version, reason=str(error))
            return before
        except Exception as error:  # one broken model must not keep the others from loading
            self._refuse(version, f"{type(error).__name__}: {error}", files)
            log.exception("model refused", model=self.name, version=version)
            return before
        finally:
            self._loading = None
        if fingerprint(self.folder / version) != files:
            return before  # still being written: the next refresh sees to it
        self._files[version] = files
        self._refused.pop(version, None)
        log.info("model loaded", model=self.name, **served.facts)
        return served

    def _refuse(self, version: str, reason: str, files: Fingerprint) -> None:
        # Replaced whole, as requests may be reading it.
        self._refused = self._refused | {version: Refusal(reason, files)}

    def _swap(
        self, chosen: Mapping[str, "Served"], answering: "Served | None", problem: str | None
    ) -> None:
        gone = [v for v in self.loaded.values() if v is not chosen.get(v.card.version)]
        if answering is not self.answering and self.answering and answering:
            log.info(
                "version changed",
                model=self.name,
                version=answering.card.version,
                before=self.answering.card.version,
            )
        self.loaded, self.answering, self.problem = chosen, answering, problem
        self._files = {v: self._files[v] for v in chosen}
        self._leaving = [ref for ref in self._leaving if ref()] + [weakref.ref(v) for v in gone]
        for served in gone:
            log.info("version let go", model=self.name, version=served.card.version)


def fingerprint(folder: Path) -> Fingerprint:
    """What tells whether the files of a folder are still the same, without reading them."""
    try:
        with os.scandir(folder) as entries:
            stats = sorted((entry.name, entry.stat()) for entry in entries)
    except OSError as error:
        return ((error.errno or 0,),)
    return tuple((n, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for n, s in stats)
