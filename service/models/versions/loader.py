"""Which versions of a model were tried, and what came of it."""

import os
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.errors import ForetellError
from service.models.runtime.loaded import LoadedModel
from service.observability.metrics.shared_counters import Metric, SharedCounters

log = structlog.get_logger("foretell")

LOADS = Metric("tried", ("model", "version"), ("loaded", "invalid"))

Fingerprint = tuple[tuple[str | int, ...], ...]


@dataclass(frozen=True)
class LoadFailure:
    """Why a version is not served, and what its files were then."""

    reason: str
    files: Fingerprint


@dataclass
class VersionLoader:
    """Loads versions of one model, each once until its files change."""

    name: str
    folder: Path
    load: Callable[[str, str], LoadedModel]
    """Makes a version ready to answer, or raises ForetellError."""
    counters: SharedCounters
    loading: str | None = None
    _files: dict[str, Fingerprint] = field(default_factory=dict)
    _refused: dict[str, LoadFailure] = field(default_factory=dict)

    def load_if_changed(self, version: str, before: LoadedModel | None) -> LoadedModel | None:
        """The version as its files are now.

        If they are refused, as it was `before`: what answers goes on answering.
        """
        files = fingerprint(self.folder / version)
        if before is not None and self._files[version] == files:
            self._refused.pop(version, None)
            return before
        refusal = self._refused.get(version)
        if refusal and refusal.files == files:
            return before
        self.loading = version
        try:
            served = self.load(self.name, version)
        except ForetellError as error:
            self._refuse(version, LoadFailure(str(error), files))
            log.error("model invalid", model=self.name, version=version, reason=str(error))
            return before
        except Exception as error:  # one broken model must not keep the others from loading
            self._refuse(version, LoadFailure(f"{type(error).__name__}: {error}", files))
            log.exception("model invalid", model=self.name, version=version)
            return before
        finally:
            self.loading = None
        if fingerprint(self.folder / version) != files:
            return before  # still being written: the next refresh sees to it
        self._files[version] = files
        self._refused.pop(version, None)
        self.counters.series(LOADS, self.name, version).add(1, 0)
        log.info("model loaded", model=self.name, **served.facts)
        return served

    def _refuse(self, version: str, refusal: LoadFailure) -> None:
        self._refused[version] = refusal
        self.counters.series(LOADS, self.name, version).add(0, 1)

    def reason(self, version: str) -> str | None:
        """Why the files that a version has now are refused, if they are."""
        refusal = self._refused.get(version)
        return refusal.reason if refusal else None

    def forget(self, found: Container[str], loaded: Container[str]) -> None:
        """Keep what is known of versions that are on disk, or in use."""
        self._refused = {v: refusal for v, refusal in self._refused.items() if v in found}
        self._files = {v: files for v, files in self._files.items() if v in loaded}


def fingerprint(folder: Path) -> Fingerprint:
    """What tells whether the files of a folder are still the same, without reading them."""
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
