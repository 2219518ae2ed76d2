"""models/<name>/labels.json: names that point at versions, so that callers need not know numbers.

    {"stable": "2", "canary": {"version": "3", "weight": 0.1}}

A label with a `weight` gets that share of the calls that name no version; one with a `shadow` share
scores that share of them as well, without answering. `stable` points at the default version, which
answers the calls that name none; other names have no meaning of their own.

Nothing else holds this state: every process and every machine that shares the folder follows the
same file.
"""

import json
from collections import Counter
from collections.abc import Container
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.contract.messages import echo
from service.errors import AdminError, ArtifactError
from service.models.artifacts.artifact import read_bytes

LABELS = "labels.json"
STABLE = "stable"


def _digits(value: Any) -> Any:
    # {"stable": 2} can mean only one thing; true, which Python takes for 1, cannot.
    return str(value) if type(value) is int else value


Version = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*$"), BeforeValidator(_digits)]
# Begins with a letter, so that no label can be taken for a version.
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Label(BaseModel):
    """The version that a label points at, and its share of calls; in JSON the version suffices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Version
    weight: float = Field(0.0, ge=0, le=1)
    """Share of the calls that name no version, 0..1; the label's version answers them."""
    shadow: float = Field(0.0, ge=0, le=1)
    """Share of the default's calls, 0..1; the label's version scores them too."""

    @model_validator(mode="before")
    @classmethod
    def _version_alone(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Label) else {"version": value}

    @model_serializer
    def _shortest(self) -> str | dict[str, Any]:
        shares = {"weight": self.weight, "shadow": self.shadow}
        given = {name: share for name, share in shares.items() if share}
        return {"version": self.version, **given} if given else self.version


class Labels(RootModel[dict[LabelName, Label]]):
    """The content of labels.json."""

    model_config = ConfigDict(frozen=True)

    root: dict[LabelName, Label] = {}

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        every = self.root.values()
        if (stable := self.root.get(STABLE)) and (stable.weight or stable.shadow):
            raise PydanticCustomError("stable", "stable takes what is left: no weight, no shadow")
        if (total := sum(label.weight for label in every)) > 1:
            raise PydanticCustomError("weights", f"weights of {total:g} together, at most 1")
        if sum(label.shadow > 0 for label in every) > 1:
            raise PydanticCustomError("shadows", "two labels with a shadow share, at most one")
        return self

    @cached_property
    def versions(self) -> dict[str, str]:
        """Version by label."""
        return {name: label.version for name, label in self.root.items()}

    @property
    def weights(self) -> dict[str, float]:
        """Share of calls by label, without labels that have none."""
        return {name: label.weight for name, label in self.root.items() if label.weight}

    @property
    def stable(self) -> str | None:
        """The default version, if the file names one."""
        return self.versions.get(STABLE)

    def stable_problem(self, found: Container[str]) -> str | None:
        """Return what is wrong with `stable` among the versions `found`; None if nothing is."""
        if self.stable is None or self.stable in found:
            return None
        return f"the label {STABLE} points at version {self.stable}, which is not there"

    def of(self, version: str) -> list[str]:
        """Return the labels that point at a version, in alphabetical order."""
        return sorted(label for label, target in self.versions.items() if target == version)


def read_labels(folder: Path) -> Labels:
    """Return the labels of the model in this folder; none without a file. Raises ArtifactError."""
    try:
        content = read_bytes(folder / LABELS)
        _reject_repeated(content)
        return Labels.model_validate_json(content)
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


def _reject_repeated(content: bytes) -> None:
    """Raises ArtifactError for a name that comes twice: parsers keep the last one only."""

    def look(pairs: list[tuple[str, object]]) -> None:
        repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        if repeated:
            raise ArtifactError(f"{LABELS} has {echo(repeated[0])} more than once")

    with suppress(ValueError, RecursionError):  # pydantic says what is wrong with it
        json.loads(content, object_pairs_hook=look)


def write_labels(folder: Path, labels: Labels) -> None:
    """Replace the labels of the model in this folder, whole or not at all. Raises AdminError."""
    try:
        with NamedTemporaryFile("w", dir=folder, prefix=".labels-", delete=False) as written:
            written.write(labels.model_dump_json(indent=2) + "\n")
        new = Path(written.name)
        new.chmod(0o644)
        new.replace(folder / LABELS)
    except OSError as error:
        raise AdminError(f"{folder / LABELS} cannot be written: {error.strerror}") from error
