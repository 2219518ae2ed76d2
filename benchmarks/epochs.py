"""Seconds per epoch of each recipe, on the backend and device in use.

    [KERAS_BACKEND=jax] python benchmarks/epochs.py [TASK ...] [--epochs 3] [--smoke] [--data-dir D]

The first epoch, which compiles, is left out. Needs no TensorFlow where another backend is chosen.
"""

import argparse
from pathlib import Path

import keras

from training.checkpoint import backend_version, device
from training.fit import fit, keep_freed_memory
from training.recipe import Course, Prepared
from training.recipes import COURSES
from training.tables import markdown


def seconds(course: Course, recipe: str, data: Prepared, epochs: int) -> float:
    """Of an epoch, as the mean over `epochs` of them after the first."""
    first, more = (
        fit(course, course.recipes[recipe], data, epochs=count, quiet=True)
        for count in (1, 1 + epochs)
    )
    return (more.seconds - first.seconds) / (more.epochs - first.epochs)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(COURSES)}")
    parser.add_argument("--epochs", type=int, default=3, help="after the first (default: 3)")
    parser.add_argument("--smoke", action="store_true", help="on synthetic data")
    parser.add_argument("--data-dir", type=Path, help="local copies of the data sets")
    chosen = parser.parse_args()
    if chosen.epochs < 1:
        parser.error(f"--epochs: expected at least 1, got {chosen.epochs}")
    if unknown := set(chosen.tasks) - set(COURSES):
        parser.error(f"expected tasks of {', '.join(COURSES)}, got {', '.join(sorted(unknown))}")
    keep_freed_memory()
    print(f"{keras.backend.backend()} {backend_version()} on {device()}\n", flush=True)
    rows = []
    for task in chosen.tasks or COURSES:
        course = COURSES[task]
        data = course.prepare(course.synthetic() if chosen.smoke else course.load(chosen.data_dir))
        for recipe in course.recipes:
            each = seconds(course, recipe, data, chosen.epochs)
            rows.append([task, recipe, f"{len(data.train.labels):,}", f"{each:.3g}"])
    print(markdown(["task", "recipe", "rows", "seconds per epoch"], rows))


if __name__ == "__main__":
    main()
