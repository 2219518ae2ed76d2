"""What a recipe is: data prepared by a fixed protocol, and networks by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.contract.task import Task
from training.data.datasets import ImageData, Source, TabularData

Augment = Callable[[NDArray[Any], NDArray[np.int64], np.random.Generator], NDArray[Any]]
"""Inputs and labels of a batch, and a source of chance, to a variant of the inputs."""
Preprocessing = Callable[[NDArray[Any]], keras.layers.Layer]
"""Given the training inputs, for layers that learn from them."""


@dataclass(frozen=True)
class Split:
    """Some rows: `inputs` as the exported graph takes them, `labels` int64[N]."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]


def concat(one: Split, other: Split) -> Split:
    """The rows of both."""
    return Split(
        np.concatenate([one.inputs, other.inputs]), np.concatenate([one.labels, other.labels])
    )


@dataclass(frozen=True)
class DataSplits:
    """A data set split in three. The test part is for figures alone, and touched once."""

    source: Source
    fingerprint: str
    published: bool
    split: str
    train: Split
    validation: Split
    test: Split

    @classmethod
    def from_rows(
        cls, data: TabularData, split: str, rows: Mapping[str, NDArray[np.int64]]
    ) -> "DataSplits":
        """From the numbers of the rows of `train`, `validation` and `test`."""
        inputs = data.features.to_numpy(np.float32)
        return cls(
            source=data.source,
            fingerprint=data.fingerprint,
            published=data.published,
            split=split,
            **{name: Split(inputs[these], data.label[these]) for name, these in rows.items()},
        )


@dataclass(frozen=True)
class Protocol:
    """How a task's figures are measured: the data split several times, each time fitted anew.

    `repeats` gives a list of folds for each repeat; figures are those of a repeat, over the test
    parts of all its folds, and their spread is that of the repeats.
    """

    words: str
    repeats: Callable[[Any], list[list[DataSplits]]]


@dataclass(frozen=True)
class Recipe:
    """One network and how it is fitted.

    `network` takes what the preprocessing gives; `parameters` is what it must count, moving
    statistics included. With `patience`, fitting stops after so many epochs without a lower
    validation loss and returns to the best ones. `augment` makes new variants of the training
    inputs for each epoch. `members` such networks are fitted, and what they answer is averaged.
    """

    network: Callable[[], keras.Model]
    parameters: int
    optimizer: Callable[[int], keras.optimizers.Optimizer]
    """Given the number of steps of the whole fit, for those that schedule over it."""
    epochs: int
    batch_size: int
    patience: int | None = None
    label_smoothing: float = 0.0
    augment: Augment | None = None
    members: int = 1
    preprocessing: Preprocessing | None = None
    """Instead of the training's own."""
    validates: bool = True
    """Whether the validation part is kept apart; a recipe that does not learns from it as well."""

    calibrates: bool = False
    """Whether the probabilities are calibrated, on the validation part."""
    temperature_factor: float = 1.0
    """What log-probabilities are multiplied by, for a recipe that keeps no validation part apart:
    as calibration on that part found when one was. Label smoothing makes it necessary."""

    def __post_init__(self) -> None:
        """Stopping early and calibrating need a part that the network was not fitted to."""
        assert self.validates or (self.patience is None and not self.calibrates)


@dataclass(frozen=True)
class TaskTraining:
    """All that is specific to training one task; a file in `training/recipes/` declares one."""

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
    """Of conformal sets: how often they are to hold the truth."""
    folds: int | None = None
    """For rows too few to keep any apart: into how many folds all that are not for testing are
    split, to choose the cutoff of conformal sets on answers by networks fitted to the others."""
    invalidating_transforms: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """How a picture of each class can be turned to be none of any
    (training/confidence/ood_negatives.py)."""

    def model_name(self, recipe: str) -> str:
        """The default recipe takes the task's name and is served; others lie beside it."""
        return self.task.name if recipe == self.default else f"{self.task.name}-{recipe}"

    def no_recipe(self, recipe: str) -> str:
        """What there is instead, in words."""
        return f"{self.task.name} has no recipe {recipe!r}; it has: {', '.join(self.recipes)}"
