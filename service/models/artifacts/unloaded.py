"""models/<name>/unloaded: a file that is there while the model is to answer nobody."""

from pathlib import Path

from service.models.artifacts.folder import unreadable

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
