"""Trials: one cell of a grid, fitted on all folds but one and scored on that one.

A study keeps its trials in a file, one line each, written when they end; none is fitted twice.
"""

import hashlib
from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import keras
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from service.errors import ForetellError
from training.evaluation.folds import Folds
from training.evaluation.grid_search.grid import Values, list_parameters, with_values
from training.fitting.fit import TrainingDiverged, fit, keep_freed_memory
from training.fitting.processes import worker_pool
from training.recipe import Split
from training.recipes import TASK_TRAININGS

BATCH = 1024


class WorkerDied(ForetellError):
    """A process that was fitting has ended."""


class Study(BaseModel):
    """The facts that a trial's result depends on beside its values and its fold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    recipe: str
    data: str
    fingerprint: str
    rows: int
    """The number of rows in the folds."""
    folds: int
    seed: int
    contract: str
    code: str
    """The sha256 of the training package."""
    libraries: dict[str, str]
    device: str

    @property
    def folder(self) -> Path:
        """The folder of its files, within the folder of reports."""
        key = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
        return Path("tune", f"{self.task}-{self.recipe}", key)


class Trial(BaseModel):
    """One line of the file. Scores are by metric, of the rows fitted to and of those held out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: Values
    """The value of every parameter of the recipe, varied or not."""
    fold: int
    seconds: float = 0.0
    """The seconds of fitting."""
    train: dict[str, float] = {}
    held_out: dict[str, float] = {}
    diverged: str | None = None
    """The reason, if there are no scores."""


class TrialFile:
    """A study and its trials as lines of JSON; a line that a kill left incomplete is dropped."""

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_bytes() if path.exists() else b""
        self.trials = [t for line in text.splitlines()[1:] if (t := _trial(line)) is not None]
        lines = [study, *self.trials]
        complete = "".join(f"{line.model_dump_json()}\n" for line in lines).encode()
        if complete != text:
            swap = path.with_suffix(".new")
            swap.write_bytes(complete)
            swap.replace(path)

    def find(self, values: Values, fold: int) -> Trial | None:
        """Return the trial of these values and this fold, if it is there."""
        return next((t for t in self.trials if t.values == values and t.fold == fold), None)

    def add(self, trial: Trial) -> None:
        """Append a trial to the file."""
        self.trials.append(trial)
        with self.path.open("a") as file:
            file.write(f"{trial.model_dump_json()}\n")


def _trial(line: bytes) -> Trial | None:
    try:
        return Trial.model_validate_json(line)
    except ValidationError:
        return None


def run_trials(
    study: Study, folds: Folds, jobs: Sequence[tuple[Values, int]], processes: int | None = None
) -> Generator[Trial, None, None]:
    """Fit and score in parallel; yield trials in the order in which they end.

    Raises WorkerDied if the system ends a process.
    """
    # All processes map one file of the rows into their memory, instead of a copy each.
    with TemporaryDirectory(prefix="foretell-") as folder:
        path = Path(folder, "folds")
        joblib.dump(folds, path)
        with worker_pool(len(jobs), processes, _begin, (study, path)) as pool:
            try:
                for done in as_completed([pool.submit(_fit, *job) for job in jobs]):
                    yield done.result()
            except BrokenProcessPool as error:
                raise WorkerDied(
                    "a process ended in the middle of its work, perhaps for lack of memory: "
                    "finished trials are kept; run the same command with fewer --processes"
                ) from error


_study: Study
_folds: Folds


def _begin(study: Study, path: Path) -> None:
    global _study, _folds
    _study, _folds = study, joblib.load(path, mmap_mode="r")
    keep_freed_memory()


def _fit(values: Values, fold: int) -> Trial:
    training = TASK_TRAININGS[_study.task]
    recipe = training.recipes[_study.recipe]
    recipe = with_values(recipe, list_parameters(training, recipe), values)
    data = _folds.fold(fold, validates=recipe.validates)
    try:
        fitted = fit(training, recipe, data, seed=_study.seed, quiet=True)
        return Trial(
            values=values,
            fold=fold,
            seconds=fitted.seconds,
            train=compute_scores(fitted.model, data.train),
            held_out=compute_scores(fitted.model, data.test),
        )
    except TrainingDiverged as error:
        return Trial(values=values, fold=fold, diverged=str(error))
    finally:
        keras.utils.clear_session()  # every trial would leave its graphs in memory


def compute_scores(model: Any, split: Split) -> dict[str, float]:
    """Compute accuracy, log-loss (nats) and, of yes-or-no answers, the area under the ROC curve.

    Raises TrainingDiverged if an answer is not finite.
    """
    batches = (split.inputs[start : start + BATCH] for start in range(0, len(split.inputs), BATCH))
    answers = np.concatenate(
        [keras.ops.convert_to_numpy(model(batch, training=False)) for batch in batches]
    ).astype(np.float64)
    if not np.isfinite(answers).all():
        raise TrainingDiverged("the network gives answers that are not finite")
    binary = answers.shape[1] == 1
    each = np.column_stack([1 - answers, answers]) if binary else answers
    # float32 softmax sums to 1 within a rounding only, which scikit-learn warns about.
    each /= each.sum(axis=1, keepdims=True)
    values = {
        "accuracy": float(accuracy_score(split.labels, each.argmax(axis=1))),
        "log_loss": float(log_loss(split.labels, each, labels=range(each.shape[1]))),
    }
    if binary:
        values["auc"] = float(roc_auc_score(split.labels, answers[:, 0]))
    return values
