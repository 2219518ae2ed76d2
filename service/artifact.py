"""An artifact: models/<name>/<version>/, written by training, verified and loaded by the service.

model.onnx      preprocessing and network in one graph
card.json       what it is, how it was made, how good it is, and the sha256 of the other files
golden.npz      inputs (`input`) and what Keras answered for them (one array an output)
signature.txt   the graph as text, so that a change of preprocessing is a readable diff
background.npz  of a task of rows: the rows that explanations compare with (`rows`, `weights`)
"""

import errno
import hashlib
import os
import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from service.confidence import Confidence
from service.contract import Contract
from service.errors import ArtifactError, UnknownModel

MODEL, CARD, GOLDEN, SIGNATURE = "model.onnx", "card.json", "golden.npz", "signature.txt"
BACKGROUND = "background.npz"


class DataFacts(BaseModel):
    """What a model learned from, and how that was split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    home: str
    licence: str
    citation: str
    fingerprint: str
    published: bool
    """Whether the content is the published data set (else: synthetic, or changed)."""
    split: str
    """The protocol, in words that suffice to repeat it."""
    rows: dict[str, int]
    """Rows of each part: train, validation, test."""


class TrainingFacts(BaseModel):
    """How the network was fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    parameters: int
    seed: int
    asked: int | None = None
    """Epochs asked for; early stopping may have ended sooner. Older versions do not know."""
    epochs: int
    """Epochs run."""
    seconds: float
    device: str
    backend: str = "tensorflow"
    """What Keras computed with; its version is among the libraries."""
    libraries: dict[str, str]
    latency_us: float
    """Microseconds for one row: the median of single runs of ONNX Runtime, one thread, on the CPU
    of the machine that trained, measured when the model was exported."""
    history: dict[str, list[float]]
    """Of each epoch: `loss` and `accuracy`; `val_loss` and `val_accuracy` where a validation part
    was kept apart. To six digits."""


class Bin(BaseModel):
    """Rows whose probability falls into one of some intervals of equal width."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    probability: float
    """The mean of those answered."""
    share: float
    """Of rows that are what the probability is about."""
    rows: int


class Curves(BaseModel):
    """How the exported graph did on the test part, to be drawn without the data: sums, no rows.

    The last three are of yes-or-no answers only, and empty for pictures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confusion: list[list[int]]
    """Test rows: a line for each true class, a column for each class answered."""
    calibration: list[Bin]
    """15 intervals of the probability of yes, or of a picture's answer; empty ones are left out."""
    roc: list[tuple[float, float]] = []
    """False and true positive rate, from (0, 0) to (1, 1); at most 100 points of the curve."""
    precision_recall: list[tuple[float, float]] = []
    """Recall and precision, from all flagged to none; at most 100 points of the curve."""
    scores: list[list[int]] = []
    """Test rows of class 0, then of class 1, by their probability in 20 intervals of .05, each with
    its lower end in it: enough to count what any threshold in steps of .05 would flag."""


class GoldenFacts(BaseModel):
    """How closely a runtime has to repeat what Keras answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    tolerance: float
    reason: str
    """Why this tolerance."""


class Card(BaseModel):
    """card.json: everything worth knowing about one version of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    title: str
    task: str
    created: datetime
    data: DataFacts
    training: TrainingFacts
    metrics: dict[str, float]
    """Measured on the test part, on the exported graph, once."""
    curves: Curves
    threshold: float
    """Probability from which a decision is true."""
    confidence: Confidence | None = None
    """How far its answers are to be trusted; older versions do not know."""
    contract: Contract
    contract_hash: str
    opset: int
    golden: GoldenFacts
    files: dict[str, str]
    """sha256 of each other file of the artifact."""
    licence: str
    intended_use: str
    limits: str

    def text(self) -> str:
        """The content of card.json: indented, a list of numbers on one line."""
        # JSON has no line break inside a string, so that only lists are matched.
        text = self.model_dump_json(indent=2)
        return re.sub(r"\[\n[-+.\deE,\s]+\]", _on_one_line, text) + "\n"


def _on_one_line(numbers: re.Match[str]) -> str:
    return "[" + " ".join(numbers[0].strip("[] \n").split()) + "]"


@dataclass(frozen=True, eq=False)
class Background:
    """Rows that stand for those a model learned from; explanations compare with them.

    `rows` is float32[B, F] in declared order; `weights`, positive, says how much each counts.
    """

    rows: NDArray[np.float32]
    weights: NDArray[np.int64]

    def check(self, features: int) -> None:
        """Raises ArtifactError unless there are as many weights as rows, of so many fields."""
        shape, weights = self.rows.shape, self.weights
        if weights.shape != shape[:1] or shape != (max(1, len(weights)), features):
            raise ArtifactError(
                f"{BACKGROUND}: expected rows of {features} fields and as many weights, "
                f"got {shape} and {weights.shape}"
            )
        if not (weights > 0).all():
            raise ArtifactError(f"{BACKGROUND}: expected weights above 0, got {weights.min()}")


@dataclass(frozen=True)
class Artifact:
    """One version on disk whose card could be read. Paths and text only; nothing is loaded."""

    folder: Path
    card: Card

    @cached_property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL

    def golden(self) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """The golden input (N rows) and what Keras answered, by output name."""
        with np.load(self.folder / GOLDEN, allow_pickle=False) as arrays:
            outputs = {name: arrays[name] for name in arrays.files if name != "input"}
            return arrays["input"], outputs

    def background(self) -> Background | None:
        """The reference rows; models without them (pictures, older ones) have none.

        Raises ArtifactError.
        """
        if BACKGROUND not in self.card.files:
            return None
        try:
            with np.load(self.folder / BACKGROUND, allow_pickle=False) as arrays:
                found = Background(arrays["rows"].astype(np.float32), arrays["weights"])
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{BACKGROUND} cannot be read: {error}") from error
        found.check(len(self.card.contract.features))
        return found

    def verify(self, contract: Contract) -> None:
        """Raises ArtifactError unless files and contract are the ones the card was written for."""
        self.verify_files()
        if self.card.contract_hash != contract.hash:
            raise ArtifactError(
                f"trained for another contract of task {self.card.task!r}: expected "
                f"{contract.hash[:12]}…, got {self.card.contract_hash[:12]}…; train it anew"
            )

    def verify_files(self) -> None:
        """Raises ArtifactError unless the files are the ones the card was written for."""
        for file, expected in self.card.files.items():
            if (found := sha256(self.folder / file)) != expected:
                raise ArtifactError(
                    f"{file} is not the file its card describes: expected sha256 {expected[:12]}…, "
                    f"got {found[:12]}…"
                )
        if missing := {MODEL, GOLDEN} - self.card.files.keys():
            raise ArtifactError(f"the card gives no sha256 for {', '.join(sorted(missing))}")


def content(file: Path) -> bytes:
    """What a regular file holds. Raises OSError, also for anything else.

    A pipe would keep its reader waiting until somebody writes, and a device might never end.
    """
    if not S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return file.read_bytes()


def sha256(file: Path) -> str:
    """Hex digest of a file's content. Raises ArtifactError if it cannot be read."""
    try:
        return hashlib.sha256(content(file)).hexdigest()
    except OSError as error:
        raise ArtifactError(f"{file.name} cannot be read: {error.strerror}") from error


def versions(models_dir: Path, name: str) -> list[str]:
    """Versions of a model on disk, oldest first; versions are whole numbers from 1.

    Raises ArtifactError if its folder cannot be looked into.
    """
    found = _folders(models_dir / name)
    return sorted((v for v in found if v.isascii() and v.isdigit() and v[0] != "0"), key=int)


def names(models_dir: Path, expected: Container[str] = ()) -> list[str]:
    """Models on disk that have at least one version, in alphabetical order.

    A folder that cannot be looked into is one of them if a model of its name is `expected`: others,
    like the lost+found of a volume, are nobody's. Raises ArtifactError if models_dir is such a one.
    """
    return sorted(name for name in _folders(models_dir) if _is_model(models_dir, name, expected))


def _is_model(models_dir: Path, name: str, expected: Container[str]) -> bool:
    try:
        return bool(versions(models_dir, name))
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
    """As `names`. Raises ArtifactError if there is none: a report on no model would look well."""
    if not (found := names(models_dir, expected)):
        raise ArtifactError(f"there are no models in {models_dir}; `foretell train` makes them")
    return found


def read_artifact(models_dir: Path, name: str, version: str | None = None) -> Artifact:
    """The artifact of a model, of its newest version by default.

    Raises UnknownModel if there is none and ArtifactError if its card cannot be read or belongs to
    another folder.
    """
    known = versions(models_dir, name)
    wanted = version or (known[-1] if known else None)
    if wanted is None or wanted not in known:
        where = f"{name}/{wanted}" if wanted else name
        raise UnknownModel(where, [f"{name}/{v}" for v in known] or names(models_dir))
    folder = models_dir / name / wanted
    try:
        card = Card.model_validate_json(content(folder / CARD))
    except OSError as error:
        raise ArtifactError(f"{CARD} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or CARD
        raise ArtifactError(f"{CARD} is not a card: {where}: {first['msg']}") from error
    if (card.name, card.version) != (name, wanted):
        raise ArtifactError(f"the card is that of {card.name}/{card.version}, not {name}/{wanted}")
    return Artifact(folder, card)
