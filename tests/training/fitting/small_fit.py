"""A process that fits a small network and writes its weights, for tests that kill and resume it.

python -m tests.training.fitting.small_fit CASE WEIGHTS [CHECKPOINT [STEPS]]

With STEPS, the process kills itself in the step after them.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import keras

from training.fitting import checkpoint, fit
from training.recipe import DataSplits, Recipe, Split
from training.recipes import TASK_TRAININGS

EPOCHS = 5
ROWS = 160


def smaller(part: Split) -> Split:
    return Split(part.inputs[:ROWS], part.labels[:ROWS])


def case(name: str) -> tuple[str, Recipe]:
    """Return a recipe with early stopping, with members and dropout, or with augmentation."""
    if name == "stopping":
        recipe = TASK_TRAININGS["heart"].recipes["mlp16"]
        return "heart", replace(recipe, optimizer=lambda _: wild(), patience=2)
    task, chosen = {"members": ("credit", "mlp-ensemble"), "pictures": ("digits", "cnn")}[name]
    recipe = replace(TASK_TRAININGS[task].recipes[chosen], batch_size=32, validates=True)
    return task, replace(recipe, members=min(recipe.members, 2))


def wild() -> keras.optimizers.Optimizer:
    """Return an optimizer so fast that the validation loss soon rises."""
    return keras.optimizers.Adam(0.5)


def killed_after(steps: int) -> None:
    """Kill this process in the middle of an epoch, as kill -9 or a power cut does."""

    class Killed(checkpoint.Checkpoint):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if int(self.model.optimizer.iterations) > steps:
                os.kill(os.getpid(), signal.SIGKILL)

    vars(fit)["Checkpoint"] = Killed


def main(name: str, weights: str, folder: str | None = None, steps: str | None = None) -> None:
    checkpoint.EVERY = 0.0
    task, recipe = case(name)
    training = TASK_TRAININGS[task]
    data: DataSplits = training.prepare(training.synthetic())
    data = replace(data, train=smaller(data.train), validation=smaller(data.validation))
    if steps is not None:
        killed_after(int(steps))
    fitted = fit.fit(
        training, recipe, data, epochs=EPOCHS, checkpoint=Path(folder) if folder else None
    )
    print(f"epochs {fitted.epochs}, losses {fitted.history['loss']}")
    Path(weights).write_bytes(
        b"".join(keras.ops.convert_to_numpy(v).tobytes() for v in fitted.model.variables)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
