"""Admin actions: unload, load, promote, roll back; each writes a file beside the versions.

models/<name>/unloaded      there while the model answers nobody
models/<name>/labels.json   `stable`, the default version, and `previous`, the default before

Nothing else holds this state, so that every process and machine that follows the folder does the
same, also after a start.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from service.errors import AdminError, ArtifactError, ModelNotReady, UnknownModel
from service.models.artifacts.folder import UNLOADED, list_versions
from service.models.artifacts.labels import STABLE, Label, Labels, read_labels, write_labels
from service.models.versions.registry import ModelRegistry

PREVIOUS = "previous"
Validate = Callable[[str, str], object]
"""Loads a version of a model, and validates it. Raises ForetellError."""


def unload(registry: ModelRegistry, name: str) -> None:
    """Stop serving every version of a model, until `load`. Raises UnknownModel or AdminError."""
    folder = registry.versions_of(name).folder
    try:
        (folder / UNLOADED).touch()
    except OSError as error:
        raise AdminError(f"{folder / UNLOADED} cannot be written: {error.strerror}") from error
    registry.refresh(name)


def load(registry: ModelRegistry, name: str) -> None:
    """Undo `unload`, and refresh the model from its folder at once.

    Raises UnknownModel, AdminError, or ModelNotReady if no version can answer.
    """
    folder = registry.versions_of(name).folder
    try:
        (folder / UNLOADED).unlink(missing_ok=True)
    except OSError as error:
        raise AdminError(f"{folder / UNLOADED} cannot be removed: {error.strerror}") from error
    registry.refresh(name)
    registry.default_of(name)


def roll_back(registry: ModelRegistry, name: str) -> None:
    """Make the version before the default. Raises UnknownModel, ModelNotReady or AdminError."""
    versions = registry.versions_of(name)
    if versions.unloaded:
        raise ModelNotReady(name, "it is unloaded")
    default = versions.route().card.version
    point_back(versions.folder, default, registry.loader.load_version)
    registry.refresh(name)


def promote(folder: Path, version: str | None, default: str | None) -> None:
    """Point `stable` at a version, and `previous` at the `default` so far; None: at none.

    Raises ArtifactError for labels that cannot be read, or AdminError.
    """
    labels = read_labels(folder)
    if version is not None and labels.stable == version:
        return  # asked for twice: `previous` is still right
    kept = {name: at for name, at in labels.root.items() if name not in (STABLE, PREVIOUS)}
    if version is not None:
        kept[STABLE] = Label(version=version)
        if default is not None and default != version:
            kept[PREVIOUS] = Label(version=default)
    write_labels(folder, Labels(kept))


def default_version(folder: Path, validate: Validate) -> str | None:
    """Return the default version by a model's folder: `stable`, or the newest valid one.

    Raises ArtifactError for labels that cannot be read.
    """
    if stable := read_labels(folder).stable:
        return stable
    for version in reversed(list_versions(folder.parent, folder.name)):
        with suppress(ArtifactError, UnknownModel):
            validate(folder.name, version)
            return version
    return None


def point_back(folder: Path, default: str, validate: Validate) -> str:
    """Point `stable` at the default version before `default`, and return its number.

    That is the one that the label `previous` points at, which is then removed, or else the newest
    of the older ones that is valid. Raises AdminError.
    """
    name = folder.name
    try:
        labels = dict(read_labels(folder).root)
        older = [v for v in list_versions(folder.parent, name) if int(v) < int(default)]
    except ArtifactError as error:
        raise AdminError(str(error)) from error
    previous = labels.pop(PREVIOUS, None)
    before = [previous.version] if previous and previous.version != default else []
    for version in [*before, *reversed(older)]:
        try:
            validate(name, version)
        except (ArtifactError, UnknownModel):
            continue
        write_labels(folder, Labels(labels | {STABLE: Label(version=version)}))
        return version
    raise AdminError(f"there is no valid version before {name}/{default} to go back to")
