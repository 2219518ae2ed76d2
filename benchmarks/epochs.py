"""Seconds per epoch of each recipe, on the backend and device in use, and to a target accuracy.

    [KERAS_BACKEND=jax] python benchmarks/epochs.py [TASK ...] [--recipe NAME] [--epochs 3]
        [--target .99] [--smoke] [--data-dir D]

Seconds per epoch leave out the first epoch, which compiles; seconds to `--target` include it. The
target is an accuracy on the test part, which is allowed because nothing is chosen by it. Another
backend than TensorFlow needs no TensorFlow installed.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import keras

from training.fitting.checkpoint import backend_version, device
from training.fitting.fit import build_untrained, fit, keep_freed_memory
from training.markdown import markdown
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS


def seconds(training: TaskTraining, recipe: str, data: DataSplits, epochs: int) -> float:
    """Return the seconds of an epoch: the mean over `epochs` of them after the first."""
    first, more = (
        fit(training, training.recipes[recipe], data, epochs=count, quiet=True)
        for count in (1, 1 + epochs)
    )
    return (more.seconds - first.seconds) / (more.epochs - first.epochs)


class Target(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A callback that ends a fit once an accuracy is reached; evaluating it is not counted."""

    def __init__(self, inputs: Any, labels: Any, accuracy: float) -> None:
        super().__init__()
        self._inputs, self._labels, self._accuracy = inputs, labels, accuracy
        self._began = self._looking = 0.0
        self.reached: tuple[int, float] | None = None
        """The epoch, from 1, and the seconds that it took; None: not reached."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the clock, before anything is compiled."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Evaluate the accuracy, and stop the fit once it is reached."""
        now = time.perf_counter()
        got = self.model.evaluate(self._inputs, self._labels, verbose=0, return_dict=True)
        if got["accuracy"] >= self._accuracy:
            self.reached = epoch + 1, now - self._began - self._looking
            self.model.stop_training = True
        self._looking += time.perf_counter() - now


def to_target(training: TaskTraining, recipe: str, data: DataSplits, accuracy: float) -> str:
    """Return in words after how many seconds and epochs the test part has this accuracy.

    Only recipes that fit one network with several classes are measured: tables have no classes.
    """
    made, classes = training.recipes[recipe], len(training.task.contract.labels)
    if made.members > 1 or not classes:
        return "measured for single networks on pictures only"
    _, preprocessing, _ = build_untrained(training, made, data)
    inputs = keras.ops.convert_to_numpy(preprocessing(data.test.inputs))
    target = Target(inputs, keras.utils.to_categorical(data.test.labels, classes), accuracy)
    fit(training, made, data, quiet=True, callbacks=[target])
    if target.reached is None:
        return f"not in {made.epochs} epochs"
    epoch, spent = target.reached
    return f"{spent:.1f} (epoch {epoch})"


def main() -> None:
    """Measure the recipes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(TASK_TRAININGS))
    parser.add_argument("--recipe", help="this one only (default: all)")
    parser.add_argument("--epochs", type=int, default=3, help="after the first (default: 3)")
    parser.add_argument("--target", type=float, help="accuracy to train to as well: .99, say")
    parser.add_argument("--smoke", action="store_true", help="on synthetic data")
    parser.add_argument("--data-dir", type=Path, help="local copies of the data sets")
    chosen = parser.parse_args()
    if chosen.epochs < 1:
        parser.error(f"--epochs: expected at least 1, got {chosen.epochs}")
    if unknown := set(chosen.tasks) - set(TASK_TRAININGS):
        parser.error(
            f"expected tasks of {', '.join(TASK_TRAININGS)}, got {', '.join(sorted(unknown))}"
        )
    if chosen.target is not None and not 0 < chosen.target <= 1:
        parser.error(f"--target: expected an accuracy above 0, at most 1, got {chosen.target}")
    keep_freed_memory()
    print(f"{keras.backend.backend()} {backend_version()} on {device()}\n", flush=True)
    rows = []
    for task in chosen.tasks or TASK_TRAININGS:
        training = TASK_TRAININGS[task]
        recipes = [name for name in training.recipes if chosen.recipe in (None, name)]
        if not recipes:
            parser.error(f"--recipe: expected {', '.join(training.recipes)}, got {chosen.recipe}")
        data = training.prepare(
            training.synthetic() if chosen.smoke else training.load(chosen.data_dir)
        )
        for recipe in recipes:
            each = seconds(training, recipe, data, chosen.epochs)
            rows.append([task, recipe, f"{len(data.train.labels):,}", f"{each:.3g}"])
            if chosen.target:
                rows[-1].append(to_target(training, recipe, data, chosen.target))
    head = ["task", "recipe", "rows", "seconds per epoch"]
    if chosen.target:
        head.append(f"seconds to {chosen.target:g} of the test part")
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
