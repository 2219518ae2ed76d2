"""An artifact: models/<name>/<version>/, written by training, verified and loaded by the service.

model.onnx      preprocessing and network in one graph
card.json       the model card: data, training, metrics, and the sha256 of the other files
golden.npz      inputs (`input`) and Keras' answers to them (one array an output)
signature.txt   the graph as text, so that a change of preprocessing is a readable diff
background.npz  of a task of rows: the rows that explanations compare with (`rows`, `weights`)
"""

import errno
import hashlib
import zipfile
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.contract.messages import echo
from service.contract.signature import Contract
from service.errors import ArtifactError, UnknownModel
from service.models.artifacts.card import Card
from service.models.artifacts.folder import list_models, list_versions

MODEL, CARD, GOLDEN, SIGNATURE = "model.onnx", "card.json", "golden.npz", "signature.txt"
BACKGROUND = "background.npz"
MOST_BYTES = {MODEL: 2**27, GOLDEN: 2**26, BACKGROUND: 2**26, SIGNATURE: 2**24}
"""Most bytes of these files, and of what an .npz file unpacks to; larger ones are not read: they
would fill the memory of the process that answers."""
MOST_BYTES_OF_OTHERS = 2**22


@dataclass(frozen=True, eq=False)
class Background:
    """Rows that stand for the training data; explanations compare with them.

    `rows` is float32[B, F] in declared order; `weights` int64[B], positive, the training rows that
    each stands for.
    """

    rows: NDArray[np.float32]
    weights: NDArray[np.int64]

    def check(self, features: int) -> None:
        """Check that there are as many weights as rows, of so many fields. Raises ArtifactError."""
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
    """One version on disk whose card could be read: paths and text only; nothing is loaded."""

    folder: Path
    card: Card

    @cached_property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL

    def golden(self) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Return the golden input (N rows) and Keras' answers, by output name.

        Raises ArtifactError.
        """
        return golden_of(self.read(GOLDEN))

    def background(self) -> Background | None:
        """Return the reference rows; None for models without them (pictures, older ones).

        Raises ArtifactError.
        """
        if BACKGROUND not in self.card.files:
            return None
        return background_of(self.read(BACKGROUND), len(self.card.contract.features))

    def read(self, file: str) -> bytes:
        """Return the content of one of the files. Raises ArtifactError."""
        path = self.folder / file
        if Path(file).name != file or not path.resolve().is_relative_to(self.folder.resolve()):
            raise ArtifactError(f"{echo(file)} leads out of the version's folder")
        try:
            return read_bytes(path)
        except OSError as error:
            raise ArtifactError(f"{file} cannot be read: {error.strerror}") from error

    def verify(self, contract: Contract) -> dict[str, bytes]:
        """Return the files, as `verify_files`, of a version of this contract.

        Raises ArtifactError.
        """
        contents = self.verify_files()
        if self.card.contract_hash != contract.hash:
            raise ArtifactError(
                f"trained for another contract of task {self.card.task!r}: expected "
                f"{contract.hash[:12]}…, got {self.card.contract_hash[:12]}…; train it anew"
            )
        return contents

    def verify_files(self) -> dict[str, bytes]:
        """Return the files by name, each read once: what was checked is what is loaded.

        Raises ArtifactError unless they are those of the card.
        """
        contents = {}
        for file, expected in self.card.files.items():
            contents[file] = self.read(file)
            if (found := hashlib.sha256(contents[file]).hexdigest()) != expected:
                raise ArtifactError(
                    f"{file} is not the file its card describes: expected sha256 {expected[:12]}…, "
                    f"got {found[:12]}…"
                )
        if missing := {MODEL, GOLDEN} - self.card.files.keys():
            raise ArtifactError(f"the card gives no sha256 for {', '.join(sorted(missing))}")
        return contents


def golden_of(content: bytes) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Return the inputs and the answers, by output name, of golden.npz. Raises ArtifactError."""
    arrays = _arrays(content, GOLDEN)
    if "input" not in arrays:
        raise ArtifactError(f"{GOLDEN} cannot be read: it has no input")
    return arrays.pop("input"), arrays


def background_of(content: bytes, features: int) -> Background:
    """Return the reference rows of background.npz, of so many fields. Raises ArtifactError."""
    arrays = _arrays(content, BACKGROUND)
    try:
        found = Background(arrays["rows"].astype(np.float32), arrays["weights"])
    except (ValueError, KeyError) as error:
        raise ArtifactError(f"{BACKGROUND} cannot be read: {error}") from error
    found.check(features)
    return found


def _arrays(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MOST_BYTES[name]:
            raise ArtifactError(
                f"{name} unpacks to {unpacked:,} bytes, more than {MOST_BYTES[name]:,}"
            )
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            return {file: arrays[file] for file in arrays.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{name} cannot be read: {error}") from error


def read_bytes(file: Path) -> bytes:
    """Return the content of a regular file. Raises OSError, also for anything else, or too large.

    A pipe would block its reader until somebody writes, and a device might never end.
    """
    most = MOST_BYTES.get(file.name, MOST_BYTES_OF_OTHERS)
    status = file.stat()
    if not S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    size = status.st_size
    if size <= most:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
        if len(content) <= most:
            return content
        size = len(content)
    raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than {most:,}")


def sha256(file: Path) -> str:
    """Return the hex digest of a file's content. Raises ArtifactError if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(file)).hexdigest()
    except OSError as error:
        raise ArtifactError(f"{file.name} cannot be read: {error.strerror}") from error


def read_artifact(models_dir: Path, name: str, version: str | None = None) -> Artifact:
    """Return an artifact of a model, that of its newest version by default.

    Raises UnknownModel if there is none and ArtifactError if its card cannot be read or belongs to
    another folder.
    """
    known = list_versions(models_dir, name)
    wanted = version or (known[-1] if known else None)
    if wanted is None or wanted not in known:
        where = f"{name}/{wanted}" if wanted else name
        raise UnknownModel(where, [f"{name}/{v}" for v in known] or list_models(models_dir))
    folder = models_dir / name / wanted
    if not folder.resolve().is_relative_to(models_dir.resolve()):
        raise ArtifactError("it leads out of the folder of models")
    try:
        card = Card.model_validate_json(read_bytes(folder / CARD))
    except OSError as error:
        raise ArtifactError(f"{CARD} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or CARD
        raise ArtifactError(f"{CARD} is not a card: {where}: {first['msg']}") from error
    if (card.name, card.version) != (name, wanted):
        raise ArtifactError(f"the card is that of {card.name}/{card.version}, not {name}/{wanted}")
    return Artifact(folder, card)
