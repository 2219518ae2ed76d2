"""What the training commands do."""

import argparse
import sys
from collections.abc import Iterator

from service.artifact import Card, read_artifact
from training.evaluate import differences, measure_again
from training.export import export
from training.fit import fit, keep_freed_memory
from training.recipe import Course, Prepared
from training.recipes import COURSES
from training.results import table


def train(arguments: argparse.Namespace) -> int:
    """Fit the recipes asked for, export each, print a table of all."""
    chosen = list(_chosen(arguments))
    keep_freed_memory()
    prepared: dict[str, Prepared] = {}
    cards: list[Card] = []
    for course, recipe in chosen:
        task = course.task.name
        if task not in prepared:
            data = course.synthetic() if arguments.smoke else course.load(arguments.data_dir)
            prepared[task] = course.prepare(data)
        cards.append(_train_one(course, recipe, prepared[task], arguments))
    print(f"\n{table(cards, arguments.output)}")
    return 0


def _chosen(arguments: argparse.Namespace) -> Iterator[tuple[Course, str]]:
    fail = arguments.parser.error
    if arguments.all == bool(arguments.task):
        fail(f"name one task ({', '.join(COURSES)}), or --all")
    if arguments.epochs is not None and arguments.epochs < 1:
        fail(f"--epochs: expected at least 1, got {arguments.epochs}")
    if arguments.all:
        if arguments.recipe:
            fail("--recipe goes with one task, not with --all")
        for course in COURSES.values():
            yield from ((course, recipe) for recipe in course.recipes)
        return
    if arguments.task not in COURSES:
        fail(f"unknown task {arguments.task!r}; there are: {', '.join(COURSES)}")
    course = COURSES[arguments.task]
    recipe = arguments.recipe or course.default
    if recipe not in course.recipes:
        fail(f"{course.task.name} has no recipe {recipe!r}; it has: {', '.join(course.recipes)}")
    yield course, recipe


def _train_one(course: Course, recipe: str, data: Prepared, arguments: argparse.Namespace) -> Card:
    epochs = arguments.epochs or (1 if arguments.smoke else None)
    print(f"\n{course.task.title}: {recipe}, {len(data.train.labels):,} rows", flush=True)
    fitted = fit(course, course.recipes[recipe], data, seed=arguments.seed, epochs=epochs)
    folder = export(course, recipe, fitted, data, arguments.output)
    print(
        f"{fitted.epochs} epochs in {fitted.seconds:.0f} s on {fitted.device}, "
        f"{fitted.parameters:,} parameters; written to {folder}",
        flush=True,
    )
    return read_artifact(arguments.output, folder.parent.name, folder.name).card


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure every model's newest version on its test part; 1 if one differs from its card."""
    differing: list[str] = []
    for card, metrics in measure_again(arguments.models, arguments.data_dir):
        values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{card.name}/{card.version} ({card.training.recipe}): {values}", flush=True)
        differing += differences(card, metrics)
    for line in differing:
        print(f"differs from its card: {line}", file=sys.stderr)
    return 1 if differing else 0
