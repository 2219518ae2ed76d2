"""Checkpoints: the state of a fit on disk, written every few seconds, to resume it from.

The state holds everything that the rest of a fit depends on: on the same machine, a resumed fit
ends with the same weights, to the last bit, as an uninterrupted one.
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
"""Seconds between two states kept, so that writing does not slow a network of 497 weights."""
STATE, EXPORTED = "state.npz", "exported"
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

log = logging.getLogger(__name__)


def checkpoint_folder(
    models_dir: Path, training: TaskTraining, recipe: str, data: DataSplits, seed: int, epochs: int
) -> Path:
    """Return the folder that keeps the state of this fit and of no other.

    Its name holds a hash of everything that decides the result: task, recipe, data, seed, epochs,
    the code of this package, the versions of the libraries, the backend and its device.
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
    """Return the facts that a fit of a task depends on beside its recipe, data and seed.

    Interrupted fits and the studies of `foretell tune` are both kept under these.
    """
    libraries = {module.__name__: module.__version__ for module in (keras, np, cv2, sklearn)}
    return {
        "contract": training.task.contract.hash,
        "code": code_hash(),
        "libraries": libraries | {keras.backend.backend(): backend_version()},
        "device": device(),
    }


def code_hash() -> str:
    """Return the sha256 hex over every module of training.

    A change of any invalidates earlier states, as networks, optimizers and augmentation are code.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def backend_version() -> str:
    """Return the version of Keras' backend: TensorFlow, JAX or PyTorch."""
    return str(import_module(keras.backend.backend()).__version__)


def device() -> str:
    """Return the device that Keras computes on, for example `cpu:0` or `gpu:0`."""
    if keras.backend.backend() == "torch":  # Keras 3.15 does not list its devices
        used = keras.ops.convert_to_tensor(0.0).device
        return f"{used.type}:{used.index or 0}"
    return str(keras.distribution.list_devices()[0])


@dataclass(frozen=True)
class State:
    """The state of a fit after some epochs.

    `variables` are those of the network and then of its optimizer: weights, moving statistics,
    seeds of dropout, momentum, averages, the number of steps. `best` are the weights that early
    stopping restores, if it has any yet; `early` are its other attributes.
    """

    epochs: int
    stopped: bool
    seconds: float
    history: dict[str, list[float]]
    early: dict[str, Any]
    variables: list[NDArray[Any]]
    best: list[NDArray[Any]]

    def write(self, folder: Path) -> None:
        """Replace the state in `folder`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "epochs": self.epochs,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "history": self.history,
            "early": self.early,
        }
        arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts))}
        arrays |= {f"variable {i}": array for i, array in enumerate(self.variables)}
        arrays |= {f"best {i}": array for i, array in enumerate(self.best)}
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())  # a power cut after the rename must not leave an empty file
        Path(file.name).replace(folder / STATE)

    @classmethod
    def read(cls, folder: Path) -> "State":
        """Read the state written last. Raises one of DAMAGE if none is whole."""
        # NumPy leaves a damaged file open if it opens the file itself.
        with (folder / STATE).open("rb") as raw, np.load(raw, allow_pickle=False) as file:

            def arrays(kind: str) -> list[NDArray[Any]]:
                count = sum(name.startswith(f"{kind} ") for name in file.files)
                return [file[f"{kind} {i}"] for i in range(count)]

            facts = json.loads(str(file["facts"]))
            return cls(**facts, variables=arrays("variable"), best=arrays("best"))


class Checkpoint(keras.callbacks.Callback):
    """A callback that keeps the state of a fit in `folder` and restores that of an interrupted one.

    It comes after `early` and `history` in the list of callbacks, whose state it keeps too.
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
        self.restored = self._find(network)

    def _find(self, network: keras.Model) -> State | None:
        if not (self.folder / STATE).exists():
            return None
        try:
            state = State.read(self.folder)
            network.optimizer.build(network.trainable_variables)
            if [v.shape for v in variables(network)] != [a.shape for a in state.variables]:
                raise ValueError("its arrays are not those of this network")
        except DAMAGE as error:
            log.warning(
                "%s cannot be used (%s): starting from the first epoch", self.folder / STATE, error
            )
            return None
        return state

    @property
    def epochs(self) -> int:
        """The number of epochs already run."""
        return self.restored.epochs if self.restored else 0

    @property
    def stopped(self) -> bool:
        """True if early stopping had already ended the fit."""
        return self.restored is not None and self.restored.stopped

    @property
    def seconds(self) -> float:
        """The seconds spent on the epochs already run."""
        return self.restored.seconds if self.restored else 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the network, its optimizer, the history and early stopping."""
        self.start = self.saved = time.perf_counter()
        if self.restored is None:
            return
        for variable, value in zip(variables(self.model), self.restored.variables, strict=True):
            variable.assign(value)
        self.records.history.update({k: list(v) for k, v in self.restored.history.items()})
        if self.early is not None:
            for name, value in self.restored.early.items():
                setattr(self.early, name, value)
            self.early.best_weights = self.restored.best or None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the state, unless the last is younger than EVERY or the fit has diverged."""
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
    """Return the variables that a step changes, without metrics, which each epoch resets."""
    return [*network.variables, *network.optimizer.variables]


def count_kept_epochs(folder: Path) -> int:
    """Return the number of epochs that an interrupted fit would resume after."""
    try:
        return State.read(folder).epochs
    except DAMAGE:
        return 0


def keep_exported(folder: Path, version: str) -> None:
    """Replace the state by the version that the fit was exported as.

    It is kept until the whole command is done, so that an interrupted command does not fit the same
    network twice.
    """
    forget(folder)
    folder.mkdir(parents=True)
    (folder / EXPORTED).write_text(version)


def read_exported(folder: Path) -> str | None:
    """Return the version that the fit was exported as before its command was interrupted."""
    file = folder / EXPORTED
    return file.read_text() if file.exists() else None


def forget(folder: Path) -> None:
    """Remove the folder of a fit, and its parent if that is empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:
        return  # it holds other fits, or was never made
