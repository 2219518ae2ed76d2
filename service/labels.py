"""models/<name>/labels.json: names that point at versions, so that callers need not know numbers.

    {"stable": "2", "canary": "3"}

`stable` is the one label that means something to the service: the version it points at answers the
calls that name no version. The file is all there is of such state: whoever shares the folder,
every process and every machine, follows the same one.
"""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, RootModel, StringConstraints, ValidationError

from service.errors import ArtifactError, ControlError

LABELS = "labels.json"
STABLE = "stable"


def _digits(value: Any) -> Any:
    # {"stable": 2} can mean only one thing; true, which Python takes for 1, cannot.
    return str(value) if type(value) is int else value


Version = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*$"), BeforeValidator(_digits)]
# Begins with a letter, so that no label can be taken for a version.
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Labels(RootModel[dict[LabelName, Version]]):
    """The content of labels.json: version by label."""

    model_config = ConfigDict(frozen=True)

    root: dict[LabelName, Version] = {}

    @property
    def stable(self) -> str | None:
        """The version that answers calls that name none, if the file says so."""
        return self.root.get(STABLE)

    def of(self, version: str) -> list[str]:
        """The labels that point at a version, in alphabetical order."""
        return sorted(label for label, target in self.root.items() if target == version)


def read_labels(folder: Path) -> Labels:
    """The labels of the model in this folder; none without a file. Raises ArtifactError."""
    try:
        return Labels.model_validate_json((folder / LABELS).read_bytes())
    except FileNotFoundError:
        return Labels()
    except OSError as error:
        raise ArtifactError(f"{LABELS} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or LABELS
        raise ArtifactError(
            f"{LABELS} does not map labels to versions: {where}: {first['msg']}"
        ) from error


def write_labels(folder: Path, labels: Labels) -> None:
    """Replace the labels of the model in this folder, whole or not at all. Raises ControlError."""
    try:
        with NamedTemporaryFile("w", dir=folder, prefix=".labels-", delete=False) as written:
            written.write(labels.model_dump_json(indent=2) + "\n")
        new = Path(written.name)
        new.chmod(0o644)
        new.replace(folder / LABELS)
    except OSError as error:
        raise ControlError(f"{folder / LABELS} cannot be written: {error.strerror}") from error
