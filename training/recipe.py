"""What a recipe is: data prepared by a fixed protocol, and networks by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.task import Task
from training.datasets import ImageData, Source, TabularData

Augment = Callable[[NDArray[Any], NDArray[np.int64], np.random.Generator], NDArray[Any]]
"""Inputs and labels of a batch, and a source of chance, to a variant of the inputs."""


@dataclass(frozen=True)
class Part:
    """Some rows: `inputs` as the exported graph takes them, `labels` int64[N]."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """A data set split by a recipe's protocol. The test part is for the card, and touched once."""

    source: Source
    fingerprint: str
    published: bool
    split: str
    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True)
class Recipe:
    """One network and how it is fitted.

    `network` takes what the preprocessing gives; `parameters` is what it must count, moving
    statistics included. With `patience`, fitting stops after so many epochs without a lower
    validation loss and returns to the best ones. `augment` makes new variants of the training
    inputs for each epoch.
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


@dataclass(frozen=True)
class Course:
    """All that is specific to training one task; a file in `training/recipes/` declares one."""

    task: Task
    load: Callable[[Path | None], TabularData | ImageData]
    synthetic: Callable[[], TabularData | ImageData]
    prepare: Callable[[Any], Prepared]
    preprocessing: Callable[[NDArray[Any]], keras.layers.Layer]
    """Given the training inputs, for layers that learn from them."""
    recipes: Mapping[str, Recipe]
    default: str
    intended_use: str
    limits: str

    def model_name(self, recipe: str) -> str:
        """The default recipe takes the task's name and is served; others lie beside it."""
        return self.task.name if recipe == self.default else f"{self.task.name}-{recipe}"
