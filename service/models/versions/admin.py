"""What an operator asks for: unload, load, promote, roll back; all of it files beside the versions.

models/<name>/unloaded      there while the model is to answer nobody
models/<name>/labels.json   `stable`, which answers, and `previous`, which did before

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
Prove = Callable[[str, str], object]
"""Loads a version of a model and proves it. Raises ForetellError."""


def unload(registry: ModelRegistry, name: str) -> None:
    """Let go of every version of a model, until `load`. Raises UnknownModel or AdminError."""
    folder = registry.versions_of(name).folder
    try:
        (folder / UNLOADED).touch()
    except OSError as error:
        raise AdminError(f"{folder / UNLOADED} cannot be written: {error.strerror}") from error
    registry.refresh(name)


def load(registry: ModelRegistry, name: str) -> None:
    """Undo `unload`, and do at once what the folder says.

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
    """Let the version before answer. Raises UnknownModel, ModelNotReady or AdminError."""
    versions = registry.versions_of(name)
    if versions.unloaded:
        raise ModelNotReady(name, "it is unloaded")
    point_back(versions.folder, versions.route().card.version, registry.load)
    registry.refresh(name)


def promote(folder: Path, version: str | None, answering: str | None) -> None:
    """Point `stable` at a version, and `previous` at the one that answered; None: at none.

    Raises ArtifactError for labels that cannot be read, or AdminError.
    """
    labels = read_labels(folder)
    if version is not None and labels.stable == version:
        return  # asked for twice: what answered before is still that
    kept = {name: at for name, at in labels.root.items() if name not in (STABLE, PREVIOUS)}
    if version is not None:
        kept[STABLE] = Label(version=version)
        if answering is not None and answering != version:
            kept[PREVIOUS] = Label(version=answering)
    write_labels(folder, Labels(kept))


def answering_of(folder: Path, prove: Prove) -> str | None:
    """The version that the folder says answers calls that name none: `stable`, or the newest good.

    Raises ArtifactError for labels that cannot be read.
    """
    if stable := read_labels(folder).stable:
        return stable
    for version in reversed(list_versions(folder.parent, folder.name)):
        with suppress(ArtifactError, UnknownModel):
            prove(folder.name, version)
            return version
    return None


def point_back(folder: Path, answering: str, prove: Prove) -> str:
    """Point `stable` at the version that answered before `default`; gives its number.

    That is the one that the label `previous` points at, which is then used up, or else the newest
    of the older ones that proves itself. Raises AdminError.
    """
    name = folder.name
    try:
        labels = dict(read_labels(folder).root)
        older = [v for v in list_versions(folder.parent, name) if int(v) < int(answering)]
    except ArtifactError as error:
        raise AdminError(str(error)) from error
    previous = labels.pop(PREVIOUS, None)
    before = [previous.version] if previous and previous.version != answering else []
    for version in [*before, *reversed(older)]:
        try:
            prove(name, version)
        except (ArtifactError, UnknownModel):
            continue
        write_labels(folder, Labels(labels | {STABLE: Label(version=version)}))
        return version
    raise AdminError(f"there is no good version before {name}/{answering} to go back to")
