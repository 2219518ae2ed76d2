"""The models and versions in a folder of models: `<name>/<number>/`."""

import os
from collections.abc import Container
from pathlib import Path

from service.errors import ArtifactError

UNLOADED = "unloaded"
"""Name of the file that takes a model out of use."""


def list_versions(models_dir: Path, name: str) -> list[str]:
    """Return the versions of a model on disk, oldest first; they are whole numbers from 1.

    Raises ArtifactError if its folder cannot be looked into.
    """
    found = _folders(models_dir / name)
    return sorted((v for v in found if v.isascii() and v.isdigit() and v[0] != "0"), key=int)


def list_models(models_dir: Path, expected: Container[str] = ()) -> list[str]:
    """Return the models on disk that have at least one version, in alphabetical order.

    An unreadable folder is one of them if a model of its name is `expected`; others, like the
    lost+found of a volume, are left out. Raises ArtifactError if models_dir is unreadable.
    """
    return sorted(name for name in _folders(models_dir) if _is_model(models_dir, name, expected))


def _is_model(models_dir: Path, name: str, expected: Container[str]) -> bool:
    try:
        return bool(list_versions(models_dir, name))
    except ArtifactError:
        return name in expected


def _folders(parent: Path) -> list[str]:
    """Return the names of the folders in a folder; none if there is no such folder."""
    try:
        with os.scandir(parent) as entries:
            return [entry.name for entry in entries if _is_folder(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(parent, error) from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to something unreadable
        return False


def unreadable(folder: Path, error: OSError) -> ArtifactError:
    """Return the error of a folder that cannot be read."""
    return ArtifactError(f"{folder} cannot be looked into: {error.strerror}")


def some_names(models_dir: Path, expected: Container[str] = ()) -> list[str]:
    """Return `list_models`. Raises ArtifactError if there is no model."""
    if not (found := list_models(models_dir, expected)):
        raise ArtifactError(f"there are no models in {models_dir}; `foretell train` makes them")
    return found


def is_unloaded(folder: Path) -> bool:
    """Return whether the model in this folder was taken out of use by an admin.

    Raises ArtifactError if the folder cannot be read.
    """
    try:
        (folder / UNLOADED).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(folder, error) from error
    return True
