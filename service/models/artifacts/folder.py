"""Which models and versions a folder of models holds: folders with numbers as names."""

import os
from collections.abc import Container
from pathlib import Path

from service.errors import ArtifactError


def list_versions(models_dir: Path, name: str) -> list[str]:
    """Versions of a model on disk, oldest first; versions are whole numbers from 1.

    Raises ArtifactError if its folder cannot be looked into.
    """
    found = _folders(models_dir / name)
    return sorted((v for v in found if v.isascii() and v.isdigit() and v[0] != "0"), key=int)


def list_models(models_dir: Path, expected: Container[str] = ()) -> list[str]:
    """Models on disk that have at least one version, in alphabetical order.

    A folder that cannot be looked into is one of them if a model of its name is `expected`: others,
    like the lost+found of a volume, are nobody's. Raises ArtifactError if models_dir is such a one.
    """
    return sorted(name for name in _folders(models_dir) if _is_model(models_dir, name, expected))


def _is_model(models_dir: Path, name: str, expected: Container[str]) -> bool:
    try:
        return bool(list_versions(models_dir, name))
    except ArtifactError:
        return name in expected


def _folders(parent: Path) -> list[str]:
    """Names of the folders in a folder; none if there is none."""
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
    except OSError:  # a link to what cannot be looked at
        return False


def unreadable(folder: Path, error: OSError) -> ArtifactError:
    """Why nothing can be known of what is in a folder."""
    return ArtifactError(f"{folder} cannot be looked into: {error.strerror}")


def some_names(models_dir: Path, expected: Container[str] = ()) -> list[str]:
    """As `list_models`, of one folder. Raises ArtifactError if there is no model."""
    if not (found := list_models(models_dir, expected)):
        raise ArtifactError(f"there are no models in {models_dir}; `foretell train` makes them")
    return found


UNLOADED = "unloaded"


def is_unloaded(folder: Path) -> bool:
    """Whether an operator took the model in this folder out of use.

    Raises ArtifactError if that cannot be told.
    """
    try:
        (folder / UNLOADED).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(folder, error) from error
    return True
