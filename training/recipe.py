"""The words of a recipe: data in three splits by a fixed protocol, and networks by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from service.contract.task import Task
from training.data.datasets import ImageData, Source, TabularData

Augment = Callable[[NDArray[Any], NDArray[np.int64], np.random.Generator], NDArray[Any]]
"""Makes variants of a batch's inputs from inputs, labels and a random generator."""
Preprocessing = Callable[[NDArray[Any]], keras.layers.Layer]
"""Makes a preprocessing layer from the training inputs, for layers that learn from them."""


@dataclass(frozen=True)
class Split:
    """Rows of one purpose: `inputs` [N, …] as the exported graph takes them, `labels` int64[N]."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]


def concat(one: Split, other: Split) -> Split:
    """Concatenate the rows of two splits."""
    return Split(
        np.concatenate([one.inputs, other.inputs]), np.concatenate([one.labels, other.labels])
    )


@dataclass(frozen=True)
class DataSplits:
    """A data set in three splits. The test split is for metrics only, and chooses nothing."""

    source: Source
    fingerprint: str
    published: bool
    split: str
    """The protocol of the split, in words that suffice to repeat it."""
    train: Split
    validation: Split
    test: Split

    @classmethod
    def from_rows(
        cls, data: TabularData, split: str, rows: Mapping[str, NDArray[np.int64]]
    ) -> "DataSplits":
        """Build the splits of a table from the row numbers of `train`, `validation` and `test`."""
        inputs = data.inputs
        return cls(
            source=data.source,
            fingerprint=data.fingerprint,
            published=data.published,
            split=split,
            **{name: Split(inputs[these], data.label[these]) for name, these in rows.items()},
        )

    @classmethod
    def from_images(cls, data: ImageData, seed: int) -> "DataSplits":
        """Keep the data set's own test split; take a tenth of its training split to validate."""
        train, validation = train_test_split(
            np.arange(len(data.train_labels)),
            test_size=0.1,
            stratify=data.train_labels,
            random_state=seed,
        )
        return cls(
            source=data.source,
            fingerprint=data.fingerprint,
            published=data.published,
            split="the data set's own test part; 10 % of its training part for validation, "
            f"stratified by label, scikit-learn train_test_split, random_state {seed}",
            train=Split(data.train_images[train], data.train_labels[train]),
            validation=Split(data.train_images[validation], data.train_labels[validation]),
            test=Split(data.test_images, data.test_labels),
        )


@dataclass(frozen=True)
class Protocol:
    """A task's evaluation protocol: the data are split several times, a network fitted for each.

    `repeats` returns a list of folds for each repeat. A metric of a repeat is over the test splits
    of all its folds; the standard deviation reported is that of the repeats.
    """

    words: str
    repeats: Callable[[Any], list[list[DataSplits]]]


@dataclass(frozen=True)
class Recipe:
    """One network and how it is fitted.

    `network` takes the output of the preprocessing; `parameters` is the number that it must have,
    moving statistics included. With `patience`, fitting stops after that many epochs without a
    lower validation loss and restores the best weights. `augment` makes new variants of the
    training inputs for each epoch. `members` such networks are fitted and their answers averaged.
    """

    network: Callable[[], keras.Model]
    parameters: int
    optimizer: Callable[[int], keras.optimizers.Optimizer]
    """Makes the optimizer, given the number of steps of the whole fit, which schedules need."""
    epochs: int
    batch_size: int
    patience: int | None = None
    label_smoothing: float = 0.0
    augment: Augment | None = None
    members: int = 1
    preprocessing: Preprocessing | None = None
    """Replaces the preprocessing of the task, if given."""
    validates: bool = True
    """Keeps the validation split apart; a recipe that does not is fitted to it as well."""

    calibrates: bool = False
    """Calibrates the probabilities on the validation split."""
    temperature_factor: float = 1.0
    """Multiplies log-probabilities (an inverse temperature), for a recipe that keeps no validation
    split apart: the value that calibration found when one was. Label smoothing makes it necessary,
    because it flattens probabilities."""

    def __post_init__(self) -> None:
        """Check that early stopping and calibration have rows that the network is not fitted to."""
        assert self.validates or (self.patience is None and not self.calibrates)

    def rows_to_fit(self, data: DataSplits) -> Split:
        """Return the rows that the network is fitted to."""
        return data.train if self.validates else concat(data.train, data.validation)


@dataclass(frozen=True)
class TaskTraining:
    """Everything specific to training one task; a file in `training/recipes/` declares one."""

    task: Task
    load: Callable[[Path | None], TabularData | ImageData]
    synthetic: Callable[[], TabularData | ImageData]
    prepare: Callable[[Any], DataSplits]
    preprocessing: Preprocessing
    recipes: Mapping[str, Recipe]
    default: str
    intended_use: str
    limits: str
    protocol: Protocol
    coverage: float = 0.95
    """The share of conformal sets that are to hold the truth."""
    folds: int | None = None
    """The number of folds for cross-conformal calibration, for data with too few rows to keep any
    apart: the threshold is chosen on answers by networks fitted to the other folds."""
    invalidating_transforms: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """The transforms, by class, that turn a picture of it into one of no class
    (training/confidence/ood_negatives.py)."""

    def model_name(self, recipe: str) -> str:
        """Return the name of a recipe's model: the task's own for the default, which is served."""
        return self.task.name if recipe == self.default else f"{self.task.name}-{recipe}"

    def describe_missing(self, recipe: str) -> str:
        """Describe which recipes there are instead of one that does not exist."""
        return f"{self.task.name} has no recipe {recipe!r}; it has: {', '.join(self.recipes)}"
