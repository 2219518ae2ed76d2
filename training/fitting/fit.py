"""Fitting one recipe: seed, compile, fit, early stopping, progress."""

import ctypes
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from service.errors import ForetellError
from training.fitting.checkpoint import Checkpoint, backend_version, device
from training.layers.calibration import Calibration
from training.recipe import DataSplits, Recipe, Split, TaskTraining

ENSEMBLE = "ensemble"
"""The name of the layer that averages several networks."""
Encoded = tuple[NDArray[np.float32], NDArray[Any]]


class TrainingDiverged(ForetellError):
    """The loss of a fit became NaN or infinite."""


@dataclass(frozen=True)
class Fitted:
    """A fitted network and how it was fitted.

    `model` takes the inputs of the exported graph (raw rows, NaN = missing, or uint8 pictures) and
    returns probabilities: preprocessing and network together, or the mean of several networks.
    """

    model: keras.Model
    parameters: int
    history: dict[str, list[float]]
    """Loss and accuracy of each epoch, and `val_loss` and `val_accuracy` if the validation split
    was kept apart. They are means over the members of an ensemble."""
    seed: int
    requested_epochs: int
    """The number of epochs requested; early stopping may end sooner."""
    seconds: float
    device: str
    backend: str
    """The backend of Keras: tensorflow, jax or torch."""
    backend_version: str

    @property
    def epochs(self) -> int:
        """The number of epochs run, those after the best one included."""
        return len(self.history["loss"])


def fit(
    training: TaskTraining,
    recipe: Recipe,
    data: DataSplits,
    *,
    seed: int = 0,
    epochs: int | None = None,
    quiet: bool = False,
    checkpoint: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Fitted:
    """Fit a recipe's network to the training split. The test split is not used.

    The same seed on the same data, machine and library versions gives the same weights. With the
    folder `checkpoint`, the state is kept there, and a fit that was interrupted resumes from it and
    reaches the weights that it would have had; the caller removes the folder. Raises ValueError if
    the network has another number of parameters than its recipe declares, and TrainingDiverged if
    its loss becomes NaN or infinite.
    """
    keras.utils.set_random_seed(seed)
    train, preprocessing, members = build_untrained(training, recipe, data)
    parameters = members[0].count_params()
    if parameters != recipe.parameters:
        raise ValueError(f"{parameters:,} parameters, but {recipe.parameters:,} are declared")

    epochs = recipe.epochs if epochs is None else epochs
    classes = len(training.task.contract.labels)  # 0: yes or no
    steps = -(-len(train.labels) // recipe.batch_size)
    network = stack_members(members)
    network.compile(
        optimizer=recipe.optimizer(steps * epochs),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
        if classes
        else keras.losses.BinaryCrossentropy(),
        metrics=["accuracy"],
    )

    def encode(split: Split) -> Encoded:
        labels = keras.utils.to_categorical(split.labels, classes) if classes else split.labels
        return keras.ops.convert_to_numpy(preprocessing(split.inputs)), labels

    validation = encode(data.validation) if recipe.validates else None

    history = keras.callbacks.History()
    early = _early_stopping(recipe)
    kept = Checkpoint(checkpoint, network, history, early) if checkpoint else None
    begin = kept.epochs if kept else 0
    if begin and not quiet:
        print(f"an interrupted run goes on after epoch {begin} of {epochs}", flush=True)
    ours = [keras.callbacks.TerminateOnNaN(), early, history, kept]
    start = time.perf_counter()
    network.fit(
        Batches(train, recipe, encode, seed, begin),
        validation_data=validation
        and per_member_batches(validation, recipe.members, every_member=True),
        initial_epoch=epochs if kept and kept.stopped else begin,
        epochs=epochs,
        shuffle=False,  # by the global `random`; Batches draws the order of rows itself
        callbacks=[callback for callback in (*ours, *callbacks) if callback is not None],
        verbose=0 if quiet else "auto" if sys.stdout.isatty() else 2,
    )
    seconds = time.perf_counter() - start + (kept.seconds if kept else 0)
    losses = history.history["loss"]
    if not np.isfinite(losses[-1]):
        raise TrainingDiverged(
            f"the loss became {losses[-1]} in epoch {len(losses)}: lower the learning rate, or "
            "look for inputs that are not finite after preprocessing; nothing was exported"
        )

    model = full_model(preprocessing, members, train, recipe)
    if recipe.calibrates:
        calibration = model.get_layer("calibration")
        uncalibrated = keras.Model(model.input, calibration.input)(data.validation.inputs)
        calibration.adapt(keras.ops.convert_to_numpy(uncalibrated), data.validation.labels)
    return Fitted(
        model=model,
        parameters=network.count_params(),
        history=history.history,
        seed=seed,
        requested_epochs=epochs,
        seconds=seconds,
        device=device(),
        backend=keras.backend.backend(),
        backend_version=backend_version(),
    )


def build_untrained(
    training: TaskTraining, recipe: Recipe, data: DataSplits
) -> tuple[Split, keras.Layer, list[keras.Model]]:
    """Return the rows to fit to, preprocessing adapted to them, and the untrained networks."""
    train = recipe.rows_to_fit(data)
    preprocessing = (recipe.preprocessing or training.preprocessing)(train.inputs)
    return train, preprocessing, [recipe.network() for _ in range(recipe.members)]


def full_model(
    preprocessing: keras.Layer, members: Sequence[keras.Model], split: Split, recipe: Recipe
) -> keras.Model:
    """Build the model to export: from inputs like those of `split` to probabilities."""
    raw = keras.Input(split.inputs.shape[1:], dtype=split.inputs.dtype.name)
    answer = average_members(members)(preprocessing(raw))
    if recipe.calibrates or recipe.temperature_factor != 1:
        answer = Calibration(recipe.temperature_factor)(answer)
    return keras.Model(raw, answer)


def stack_members(members: Sequence[keras.Model]) -> keras.Model:
    """Build one model of several networks, each fitted to its own rows by its own loss.

    Inputs are [N, members, D], answers [N, members, K]. Adam's steps do not depend on the scale of
    a loss, so that the mean over members fits each as if it were alone: recipes of several members
    use Adam or AdamW. A penalty inside the loss would be scaled too, so they use the optimizer's
    weight decay instead.
    """
    if len(members) == 1:
        return members[0]
    inputs = keras.Input((len(members), *members[0].input_shape[1:]))
    answers = [
        keras.ops.expand_dims(member(inputs[:, place]), 1) for place, member in enumerate(members)
    ]
    return keras.Model(inputs, keras.layers.Concatenate(axis=1)(answers))


def per_member_batches(encoded: Encoded, members: int, *, every_member: bool = False) -> Encoded:
    """Arrange rows for stacked networks: in turn one for each, or with `every_member` all for each.

    Returns inputs [N / members, members, …], or [N, members, …] with `every_member`, and labels
    alike.
    """
    if members == 1:
        return encoded
    inputs, labels = encoded[0], encoded[1].reshape(len(encoded[1]), -1)
    if every_member:
        inputs, labels = np.repeat(inputs, members, axis=0), np.repeat(labels, members, axis=0)
    return (
        inputs.reshape(-1, members, *inputs.shape[1:]),
        labels.reshape(-1, members, labels.shape[1]),
    )


def average_members(members: Sequence[keras.Model]) -> keras.Model:
    """Build one network that answers with the mean of its members' answers."""
    if len(members) == 1:
        return members[0]
    inputs = keras.Input(members[0].input_shape[1:])
    average = keras.layers.Average()([member(inputs) for member in members])
    return keras.Model(inputs, average, name=ENSEMBLE)


class Batches(keras.utils.PyDataset):
    """Batches of the training split, in a new order each epoch and, with `augment`, new variants.

    Each of several members has an order and variants of its own: networks fitted to the same
    batches make similar errors, and their mean gains less. Without augmentation all rows are
    encoded once, beforehand. The first `begin` epochs are skipped.
    """

    def __init__(
        self,
        split: Split,
        recipe: Recipe,
        encode: Callable[[Split], Encoded],
        seed: int,
        begin: int,
    ) -> None:
        super().__init__(workers=1)
        self.split, self.recipe, self.encode, self.seed = split, recipe, encode, seed
        self.encoded = None if recipe.augment else encode(split)
        self.epoch = begin - 1
        self.on_epoch_begin()

    def __len__(self) -> int:
        return -(-len(self.split.labels) // self.recipe.batch_size)

    def on_epoch_begin(self) -> None:
        """Draw a new order of rows for each member."""
        self.epoch += 1
        rng = np.random.default_rng((self.seed, self.epoch))
        orders = [rng.permutation(len(self.split.labels)) for _ in range(self.recipe.members)]
        self.order = np.stack(orders, axis=1)

    def __getitem__(self, index: int) -> Encoded:
        first = index * self.recipe.batch_size
        rows = self.order[first : first + self.recipe.batch_size].reshape(-1)
        return per_member_batches(self._encoded(rows, index), self.recipe.members)

    def _encoded(self, rows: NDArray[np.int64], index: int) -> Encoded:
        if self.encoded is not None:
            return self.encoded[0][rows], self.encoded[1][rows]
        assert self.recipe.augment is not None
        rng = np.random.default_rng((self.seed, self.epoch, index))
        labels = self.split.labels[rows]
        return self.encode(Split(self.recipe.augment(self.split.inputs[rows], labels, rng), labels))


def _early_stopping(recipe: Recipe) -> keras.callbacks.EarlyStopping | None:
    if recipe.patience is None:
        return None
    return keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)


def keep_freed_memory() -> None:
    """Let glibc keep the memory that a training step frees for the next; do nothing elsewhere.

    By default glibc returns the top of the heap to the kernel after every step and faults the same
    pages in again: 59,000 page faults and 150 ms of a 258 ms step of the convolutional network (two
    cores), 1,500 and 4 ms with this.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, top_pad = -1, -2  # malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 256 * 2**20)
