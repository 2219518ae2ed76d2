"""What the training commands do."""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile

import keras

from service.artifact import Artifact, Card, names, read_artifact, some_names
from service.errors import ArtifactError, ModelError
from service.task import TabularTask
from training.checkpoint import (
    EVERY,
    checkpoint_folder,
    epochs_kept,
    exported,
    forget,
    keep_exported,
)
from training.confidence import in_words
from training.confidence_page import confidence_page, repeated
from training.evaluate import check_data, course_of, differences, measure_again, measured
from training.fairness import GROUPED, fairness_page, groups_of
from training.fit import fit, keep_freed_memory
from training.handover import export
from training.lecture import lecture_page
from training.protocol import measure_splits, metrics_table, removed_table
from training.recipe import Course, Prepared
from training.recipes import COURSES
from training.renewal import renew
from training.report import write_report
from training.results import table


def train(arguments: argparse.Namespace) -> int:
    """Fit the recipes asked for, export each, print a table of all, write their reports."""
    if arguments.lecture_data:
        return _lecture(arguments)
    chosen = list(_chosen(arguments))
    if arguments.smoke and arguments.reports is arguments.parser.get_default("reports"):
        arguments.reports = None  # of made-up data, they would only take the place of real ones
    for option in ("output", "reports", "tensorboard"):
        _make_folder(arguments, option)
    keep_freed_memory()
    prepared: dict[str, Prepared] = {}
    artifacts: list[Artifact] = []
    kept: list[Path] = []
    for course, recipe in chosen:
        task = course.task.name
        if task not in prepared:
            data = course.synthetic() if arguments.smoke else course.load(arguments.data_dir)
            prepared[task] = course.prepare(data)
        epochs = arguments.epochs or (1 if arguments.smoke else course.recipes[recipe].epochs)
        part = prepared[task]
        kept.append(
            checkpoint_folder(arguments.output, course, recipe, part, arguments.seed, epochs)
        )
        if arguments.restart:
            forget(kept[-1])
        try:
            artifacts.append(_train_one(course, recipe, part, epochs, kept[-1], arguments))
        except KeyboardInterrupt:
            print(f"\ninterrupted; {_how_to_go_on(kept[-1], epochs)}", file=sys.stderr)
            raise
    for folder in kept:
        forget(folder)
    print(f"\n{table([artifact.card for artifact in artifacts], arguments.output)}\n")
    if arguments.reports is None:
        return 0
    cards = _readable_cards(arguments.output)
    for artifact in artifacts:
        model = measured(artifact, prepared[artifact.card.task].test)
        page = write_report(model, cards, arguments.output, arguments.reports)
        print(f"report: {page}", flush=True)
    return 0


def _make_folder(arguments: argparse.Namespace, option: str) -> None:
    # Now, rather than after an hour of fitting.
    folder: Path | None = getattr(arguments, option)
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        arguments.parser.error(f"--{option}: {folder}: {error.strerror}")


def _readable_cards(models_dir: Path) -> list[Card]:
    # A card of an older version that cannot be read is no reason to lose the reports of new models.
    cards = []
    for name in names(models_dir):
        try:
            cards.append(read_artifact(models_dir, name).card)
        except ArtifactError as error:
            print(f"foretell: {name} is not compared: {error}", file=sys.stderr)
    return cards


def _lecture(arguments: argparse.Namespace) -> int:
    fail = arguments.parser.error
    if arguments.task != "heart":
        fail(f"--lecture-data: expected the task heart, got {arguments.task or 'none'}")
    options = ("all", "recipe", "smoke", "restart", "seed", "output", "reports", "tensorboard")
    for option in options:
        if getattr(arguments, option) != arguments.parser.get_default(option):
            fail(f"--lecture-data measures one network and exports nothing: no --{option} with it")
    _check_epochs(arguments)
    print(lecture_page(arguments.data_dir, arguments.epochs))
    return 0


def _check_epochs(arguments: argparse.Namespace) -> None:
    if arguments.epochs is not None and arguments.epochs < 1:
        arguments.parser.error(f"--epochs: expected at least 1, got {arguments.epochs}")


def check_seed(arguments: argparse.Namespace) -> None:
    """Ends the command unless its seed is one that NumPy takes."""
    if not 0 <= arguments.seed < 2**32:
        arguments.parser.error(f"--seed: expected 0 to {2**32 - 1}, got {arguments.seed}")


def _check_smoke(arguments: argparse.Namespace) -> None:
    # `is`: who names the folder that is the default says so on purpose.
    if arguments.smoke and arguments.output is arguments.parser.get_default("output"):
        arguments.parser.error(
            "--smoke makes models of made-up data: name a folder for them, --output; from "
            f"{arguments.output} a service would take them up"
        )


def _how_to_go_on(folder: Path, epochs: int) -> str:
    if done := epochs_kept(folder):
        return f"the same command goes on after epoch {done} of {epochs}"
    return f"nothing is kept of this fit yet, for that is done every {EVERY:.0f} seconds"


def _chosen(arguments: argparse.Namespace) -> Iterator[tuple[Course, str]]:
    fail = arguments.parser.error
    if arguments.all == bool(arguments.task):
        fail(f"name one task ({', '.join(COURSES)}), or --all")
    _check_epochs(arguments)
    check_seed(arguments)
    _check_smoke(arguments)
    if arguments.all:
        if arguments.recipe:
            fail("--recipe goes with one task, not with --all")
        for course in COURSES.values():
            yield from ((course, recipe) for recipe in course.recipes)
        return
    course = _course(arguments)
    recipe = arguments.recipe or course.default
    if recipe not in course.recipes:
        fail(course.no_recipe(recipe))
    yield course, recipe


def _course(arguments: argparse.Namespace) -> Course:
    if arguments.task not in COURSES:
        arguments.parser.error(f"unknown task {arguments.task!r}; there are: {', '.join(COURSES)}")
    return COURSES[arguments.task]


def _train_one(
    course: Course,
    recipe: str,
    data: Prepared,
    epochs: int,
    checkpoint: Path,
    arguments: argparse.Namespace,
) -> Artifact:
    made_up = "" if data.published else ", not the published data"
    print(f"\n{course.task.title}: {recipe}, {len(data.train.labels):,} rows{made_up}", flush=True)
    if artifact := _exported(arguments.output, course.model_name(recipe), checkpoint):
        card = artifact.card
        print(f"an interrupted run has written it: {card.name}/{card.version}", flush=True)
        return artifact
    fitted = fit(
        course,
        course.recipes[recipe],
        data,
        seed=arguments.seed,
        epochs=epochs,
        checkpoint=checkpoint,
        callbacks=_logs(arguments.tensorboard, course.model_name(recipe)),
    )
    folder = export(course, recipe, fitted, data, arguments.output)
    keep_exported(checkpoint, folder.name)
    print(
        f"{fitted.epochs} epoch{'s' * (fitted.epochs > 1)} in {fitted.seconds:.0f} s on "
        f"{fitted.device}, {fitted.parameters:,} parameters; written to {folder}",
        flush=True,
    )
    return read_artifact(arguments.output, folder.parent.name, folder.name)


def _logs(folder: Path | None, name: str) -> list[keras.callbacks.Callback]:
    if folder is None:
        return []
    run = folder / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    return [keras.callbacks.TensorBoard(run, write_graph=False)]


def _exported(models_dir: Path, name: str, checkpoint: Path) -> Artifact | None:
    """What an interrupted run had already written, if it is still there."""
    if (version := exported(checkpoint)) is None:
        return None
    try:
        return read_artifact(models_dir, name, version)
    except ModelError:
        return None


def confidence(arguments: argparse.Namespace) -> int:
    """Compute the confidence of models' newest versions anew, from the data of their recipes."""
    prepared: dict[str, Prepared] = {}
    for name in arguments.names or some_names(arguments.models):
        artifact = read_artifact(arguments.models, name)
        course = course_of(artifact.card)
        if course.task.name not in prepared:
            prepared[course.task.name] = course.prepare(course.load(arguments.data_dir))
        data = prepared[course.task.name]
        check_data(artifact.card, data)
        card = renew(artifact, course, data)
        print(f"{card.name}/{card.version}: {in_words(card)}", flush=True)
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Figures by a task's protocol, or of every model's newest version against its card."""
    if arguments.task is not None:
        return _by_protocol(arguments)
    for option in ("recipe", "epochs", "missing", "fairness", "confidence"):
        if getattr(arguments, option) != arguments.parser.get_default(option):
            arguments.parser.error(f"--{option} goes with a task")
    return _by_cards(arguments)


def _by_protocol(arguments: argparse.Namespace) -> int:
    """Fit a task's recipes on every split and print what the test parts say."""
    fail = arguments.parser.error
    course = _course(arguments)
    _check_epochs(arguments)
    if arguments.recipe is not None and arguments.recipe not in course.recipes:
        fail(course.no_recipe(arguments.recipe))
    recipes = [arguments.recipe] if arguments.recipe else list(course.recipes)
    features = course.task.features if isinstance(course.task, TabularTask) else ()
    optional = sum(not feature.required for feature in features)
    if arguments.missing and not optional:
        fail(f"--missing: {arguments.task} has no field that may be left out")
    if arguments.fairness:
        if not isinstance(course.task, TabularTask) or not groups_of(course.task):
            fail(f"--fairness: {arguments.task} has none of the fields {', '.join(GROUPED)}")
        for section in fairness_page(course, arguments.data_dir, recipes, arguments.epochs):
            print(section, flush=True)
        return 0
    if arguments.confidence:
        if arguments.epochs is not None and not course.folds:
            fail(f"--epochs: no network of {arguments.task} is fitted for --confidence")
        return _confidence(arguments, course)
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
    for recipe, figures in measured.items():
        each = ", ".join(f"{value:.4f}" for value in figures[0]["accuracy"])
        print(f"\n{recipe}, accuracy of each repeat: {each}")
    if arguments.missing:
        for recipe, figures in measured.items():
            print(f"\n{recipe}, optional fields removed at random:\n\n{removed_table(figures)}")
    print(f"\n{time.perf_counter() - start:.0f} s", flush=True)
    return 0


def _confidence(arguments: argparse.Namespace, course: Course) -> int:
    """What an exported model's confidence is worth; of few rows, that of others like it too."""
    recipe = arguments.recipe or course.default
    artifact = read_artifact(arguments.models, course.model_name(recipe))
    data = course.prepare(course.load(arguments.data_dir))
    for section in confidence_page(course, artifact, data, arguments.data_dir):
        print(f"{section}\n", flush=True)
    if course.folds:
        print(repeated(course, recipe, arguments.data_dir, arguments.epochs), flush=True)
    return 0


def _by_cards(arguments: argparse.Namespace) -> int:
    """Measure every model's newest version on its test part; 1 if one differs from its card."""
    _make_folder(arguments, "reports")
    differing: list[str] = []
    models = list(measure_again(arguments.models, arguments.data_dir))
    cards = [model.card for model in models]
    for model in models:
        card = model.card
        values = ", ".join(f"{name} {value:.4f}" for name, value in model.metrics.items())
        page = write_report(model, cards, arguments.models, arguments.reports)
        print(f"{card.name}/{card.version} ({card.training.recipe}): {values}; {page}", flush=True)
        differing += differences(card, model.metrics)
    for line in differing:
        print(f"differs from its card: {line}", file=sys.stderr)
    return 1 if differing else 0
