"""A fit that is interrupted goes on: its state on disk, written every few seconds.

With everything that the rest of a fit depends on put back, what comes out is bit for bit what an
uninterrupted fit gives, on the same machine.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import sklearn
from numpy.typing import NDArray

from training.recipe import DataSplits, TaskTraining

EVERY = 10.0
"""Seconds between two states kept, so that a network of 497 weights is not slowed by its disk."""
STATE, EXPORTED = "state.npz", "exported"
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

log = logging.getLogger(__name__)


def checkpoint_folder(
    models_dir: Path, training: TaskTraining, recipe: str, data: DataSplits, seed: int, epochs: int
) -> Path:
    """Where the state of this very fit is kept: another has another folder.

    The name holds a hash of all that decides the result: task, recipe, data, seed, epochs, the code
    of this package, the versions of the libraries, the backend and its device.
    """
    chosen = training.recipes[recipe]
    facts = {
        "recipe": recipe,
        "numbers": [
            chosen.parameters,
            chosen.members,
            chosen.batch_size,
            chosen.patience,
            chosen.label_smoothing,
            chosen.validates,
        ],
        "data": data.fingerprint,
        "rows": [len(part.labels) for part in (data.train, data.validation, data.test)],
        "seed": seed,
        "epochs": epochs,
        **reproducibility_key(training),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return models_dir / ".training" / f"{training.model_name(recipe)}-{key}"


def reproducibility_key(training: TaskTraining) -> dict[str, Any]:
    """What any fit of a task depends on beside its recipe, its data and its chance.

    The one list of these: interrupted fits and the studies of `foretell tune` are kept by it.
    """
    libraries = {module.__name__: module.__version__ for module in (keras, np, cv2, sklearn)}
    return {
        "contract": training.task.contract.hash,
        "code": code_hash(),
        "libraries": libraries | {keras.backend.backend(): backend_version()},
        "device": device(),
    }


def code_hash() -> str:
    """Sha256 hex over every module of training: a network, an optimizer and augmentation are code.

    Changing any of them makes what an earlier fit kept useless, so no list of them is kept here.
    """
    package = Path(__file__).parents[1]
    content = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return content.hexdigest()


def backend_version() -> str:
    """Of TensorFlow, JAX or PyTorch, whichever Keras computes with."""
    return str(import_module(keras.backend.backend()).__version__)


def device() -> str:
    """What Keras computes on, for example `cpu:0` or `gpu:0`, whatever its backend."""
    if keras.backend.backend() == "torch":  # of whose devices Keras 3.15 has no list
        used = keras.ops.convert_to_tensor(0.0).device
        return f"{used.type}:{used.index or 0}"
    return str(keras.distribution.list_devices()[0])


@dataclass(frozen=True)
class State:
    """A fit after some epochs.

    `variables` are those of the network and then of its optimizer: weights, moving statistics,
    seeds of dropout, momentum, averages, the number of steps. `best` are the weights that early
    stopping returns to, if it has any yet; `early` its other attributes.
    """

    epochs: int
    stopped: bool
    seconds: float
    history: dict[str, list[float]]
    early: dict[str, Any]
    variables: list[NDArray[Any]]
    best: list[NDArray[Any]]

    def write(self, folder: Path) -> None:
        """Replace what is in `folder`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        words = {
            "epochs": self.epochs,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "history": self.history,
            "early": self.early,
        }
        arrays: dict[str, Any] = {"words": np.array(json.dumps(words))}
        arrays |= {f"variable {i}": array for i, array in enumerate(self.variables)}
        arrays |= {f"best {i}": array for i, array in enumerate(self.best)}
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())  # a power cut after the renaming must not leave an empty file
        Path(file.name).replace(folder / STATE)

    @classmethod
    def read(cls, folder: Path) -> "State":
        """What was written last. Raises one of DAMAGE if there is nothing whole."""
        # numpy leaves a damaged file open when it opens the file itself.
        with (folder / STATE).open("rb") as raw, np.load(raw, allow_pickle=False) as file:

            def arrays(kind: str) -> list[NDArray[Any]]:
                count = sum(name.startswith(f"{kind} ") for name in file.files)
                return [file[f"{kind} {i}"] for i in range(count)]

            words = json.loads(str(file["words"]))
            return cls(**words, variables=arrays("variable"), best=arrays("best"))


class Checkpoint(keras.callbacks.Callback):
    """Keeps the state of a fit in `folder`, and puts back what an interrupted one left there.

    Comes after `early` and `history` in the list of callbacks, whose state is kept too.
    """

    def __init__(
        self,
        folder: Path,
        network: keras.Model,
        history: keras.callbacks.History,
        early: keras.callbacks.EarlyStopping | None,
    ) -> None:
        super().__init__()
        self.folder, self.records, self.early = folder, history, early
        self.found = self._find(network)

    def _find(self, network: keras.Model) -> State | None:
        if not (self.folder / STATE).exists():
            return None
        try:
            state = State.read(self.folder)
            network.optimizer.build(network.trainable_variables)
            if [v.shape for v in variables(network)] != [a.shape for a in state.variables]:
                raise ValueError("its arrays are not those of this network")
        except DAMAGE as error:
            log.warning("%s cannot be used (%s): starting anew", self.folder / STATE, error)
            return None
        return state

    @property
    def epochs(self) -> int:
        """How many are behind us."""
        return self.found.epochs if self.found else 0

    @property
    def stopped(self) -> bool:
        """Whether early stopping had already ended the fit."""
        return self.found is not None and self.found.stopped

    @property
    def seconds(self) -> float:
        """Spent on the epochs behind us."""
        return self.found.seconds if self.found else 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Put everything back."""
        self.start = self.saved = time.perf_counter()
        if self.found is None:
            return
        for variable, value in zip(variables(self.model), self.found.variables, strict=True):
            variable.assign(value)
        self.records.history.update({k: list(v) for k, v in self.found.history.items()})
        if self.early is not None:
            for name, value in self.found.early.items():
                setattr(self.early, name, value)
            self.early.best_weights = self.found.best or None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep everything, unless that was done a moment ago or the fit has diverged."""
        now = time.perf_counter()
        if now - self.saved < EVERY or not np.isfinite(self.records.history["loss"][-1]):
            return
        early = self.early
        State(
            epochs=epoch + 1,
            stopped=bool(self.model.stop_training),
            seconds=self.seconds + now - self.start,
            history=self.records.history,
            early={name: getattr(early, name) for name in ("wait", "best", "best_epoch")}
            if early
            else {},
            variables=[keras.ops.convert_to_numpy(v) for v in variables(self.model)],
            best=(early.best_weights or []) if early else [],
        ).write(self.folder)
        self.saved = time.perf_counter()


def variables(network: keras.Model) -> list[keras.Variable]:
    """All that a step changes, metrics aside, which start anew in every epoch."""
    return [*network.variables, *network.optimizer.variables]


def count_kept_epochs(folder: Path) -> int:
    """After how many epochs an interrupted fit would go on."""
    try:
        return State.read(folder).epochs
    except DAMAGE:
        return 0


def keep_exported(folder: Path, version: str) -> None:
    """Instead of the state: the version that it became.

    Until the whole command is done, so that an interrupted one does not fit the same network twice.
    """
    forget(folder)
    folder.mkdir(parents=True)
    (folder / EXPORTED).write_text(version)


def read_exported(folder: Path) -> str | None:
    """The version that this fit became before its command was interrupted."""
    file = folder / EXPORTED
    return file.read_text() if file.exists() else None


def forget(folder: Path) -> None:
    """Remove what is kept of a fit, and the parent when nothing else is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:
        return  # other fits, or never made
