"""What the training commands do."""

import argparse
import sys
import time
from collections.abc import Iterator

from service.artifact import Card, read_artifact
from service.task import TabularTask
from training.evaluate import differences, measure_again
from training.export import export
from training.fairness import GROUPED, fairness_page, groups_of
from training.fit import fit, keep_freed_memory
from training.protocol import measure_splits, metrics_table, removed_table
from training.recipe import Course, Prepared
from training.recipes import COURSES
from training.results import table


def train(arguments: argparse.Namespace) -> int:
    """Fit the recipes asked for, export each, print a table of all."""
    chosen = list(_chosen(arguments))
    try:  # now, rather than after an hour of fitting
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        arguments.parser.error(f"--output: {arguments.output}: {error.strerror}")
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
        fail(no_recipe(course, recipe))
    yield course, recipe


def no_recipe(course: Course, recipe: str) -> str:
    """What there is instead, in words."""
    return f"{course.task.name} has no recipe {recipe!r}; it has: {', '.join(course.recipes)}"


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
    """Figures by a task's protocol, or of every model's newest version against its card."""
    if arguments.task is not None:
        return _by_protocol(arguments)
    for option in ("recipe", "epochs", "missing", "fairness"):
        if getattr(arguments, option):
            arguments.parser.error(f"--{option} goes with a task")
    return _by_cards(arguments)


def _by_protocol(arguments: argparse.Namespace) -> int:
    """Fit a task's recipes on every split and print what the test parts say."""
    fail = arguments.parser.error
    measurable = [name for name, course in COURSES.items() if course.protocol]
    if arguments.task not in measurable:
        fail(f"{arguments.task!r} has no protocol; these have: {', '.join(measurable)}")
    course = COURSES[arguments.task]
    assert course.protocol is not None
    assert isinstance(course.task, TabularTask)
    if arguments.recipe is not None and arguments.recipe not in course.recipes:
        fail(no_recipe(course, arguments.recipe))
    recipes = [arguments.recipe] if arguments.recipe else list(course.recipes)
    optional = sum(not feature.required for feature in course.task.features)
    if arguments.missing and not optional:
        fail(f"--missing: every field of {arguments.task} is required")
    if arguments.fairness:
        if not groups_of(course.task):
            fail(f"--fairness: {arguments.task} has none of the fields {', '.join(GROUPED)}")
        for section in fairness_page(course, arguments.data_dir, recipes):
            print(section, flush=True)
        return 0
    print(f"{course.protocol.words}\n", flush=True)
    removed = range(optional) if arguments.missing else (0,)
    start = time.perf_counter()
    measured = {
        recipe: measure_splits(
            course, recipe, arguments.data_dir, removed=removed, epochs=arguments.epochs
        )
        for recipe in recipes
    }
    print(metrics_table({recipe: figures[0] for recipe, figures in measured.items()}))
    if arguments.missing:
        for recipe, figures in measured.items():
            print(f"\n{recipe}, optional fields removed at random:\n\n{removed_table(figures)}")
    print(f"\n{time.perf_counter() - start:.0f} s", flush=True)
    return 0


def _by_cards(arguments: argparse.Namespace) -> int:
    """Measure every model's newest version on its test part; 1 if one differs from its card."""
    differing: list[str] = []
    for card, metrics in measure_again(arguments.models, arguments.data_dir):
        values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{card.name}/{card.version} ({card.training.recipe}): {values}", flush=True)
        differing += differences(card, metrics)
    for line in differing:
        print(f"differs from its card: {line}", file=sys.stderr)
    return 1 if differing else 0
