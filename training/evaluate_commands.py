"""Commands that evaluate models: `foretell evaluate` and `foretell confidence`."""

import argparse
import sys
import time

from service.models.artifacts.artifact import read_artifact
from service.models.artifacts.folder import some_names
from training.confidence.conformal import format_confidence
from training.confidence.page import confidence_page, repeated_coverage
from training.confidence.recompute import recompute_confidence
from training.evaluation.cross_validation import measure_splits, metrics_table, removed_table
from training.evaluation.fairness import GROUPED, fairness_page, group_columns
from training.evaluation.metrics import check_data, differences, measure_models, training_of
from training.options import check_epochs, make_folder, named_training
from training.recipe import DataSplits, TaskTraining
from training.reports.report import write_report


def confidence(arguments: argparse.Namespace) -> int:
    """Recompute the confidence of models' newest versions from their recipes' data; return 0."""
    splits: dict[str, DataSplits] = {}
    for name in arguments.names or some_names(arguments.models_dir):
        artifact = read_artifact(arguments.models_dir, name)
        training = training_of(artifact.card)
        if training.task.name not in splits:
            splits[training.task.name] = training.prepare(training.load(arguments.data_dir))
        data = splits[training.task.name]
        check_data(artifact.card, data)
        card = recompute_confidence(artifact, training, data)
        print(f"{card.name}/{card.version}: {format_confidence(card)}", flush=True)
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate a task's recipes by its protocol, or every model's newest version against its card.

    Returns 1 if a model differs from its card, else 0.
    """
    if arguments.task is not None:
        return _by_protocol(arguments)
    for option in ("recipe", "epochs", "missing", "fairness", "confidence"):
        if getattr(arguments, option) != arguments.parser.get_default(option):
            arguments.parser.error(f"--{option} goes with a task")
    return _by_cards(arguments)


def _by_protocol(arguments: argparse.Namespace) -> int:
    """Fit a task's recipes on every split and print their metrics on the test splits."""
    fail = arguments.parser.error
    training = named_training(arguments)
    check_epochs(arguments)
    if arguments.recipe is not None and arguments.recipe not in training.recipes:
        fail(training.describe_missing(arguments.recipe))
    recipes = [arguments.recipe] if arguments.recipe else list(training.recipes)
    features = training.task.contract.features
    optional = sum(not feature.required for feature in features)
    if arguments.missing and not optional:
        fail(f"--missing: {arguments.task} has no optional field")
    if arguments.fairness:
        if not group_columns(training.task):
            fail(f"--fairness: {arguments.task} has none of the fields {', '.join(GROUPED)}")
        for section in fairness_page(training, arguments.data_dir, recipes, arguments.epochs):
            print(section, flush=True)
        return 0
    if arguments.confidence:
        if arguments.epochs is not None and not training.folds:
            fail(f"--epochs: no network of {arguments.task} is fitted for --confidence")
        return _confidence(arguments, training)
    print(f"{training.protocol.words}\n", flush=True)
    removed = range(optional) if arguments.missing else (0,)
    start = time.perf_counter()
    measured = {
        recipe: measure_splits(
            training, recipe, arguments.data_dir, removed=removed, epochs=arguments.epochs
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


def _confidence(arguments: argparse.Namespace, training: TaskTraining) -> int:
    """Print the measured confidence of an exported model; of few rows, that of refits as well."""
    recipe = arguments.recipe or training.default
    artifact = read_artifact(arguments.models_dir, training.model_name(recipe))
    data = training.prepare(training.load(arguments.data_dir))
    for section in confidence_page(training, artifact, data, arguments.data_dir):
        print(f"{section}\n", flush=True)
    if training.folds:
        print(repeated_coverage(training, recipe, arguments.data_dir, arguments.epochs), flush=True)
    return 0


def _by_cards(arguments: argparse.Namespace) -> int:
    """Measure every model's newest version on its test split; return 1 if one differs."""
    make_folder(arguments, "reports")
    differing: list[str] = []
    models = list(measure_models(arguments.models_dir, arguments.data_dir))
    cards = [model.card for model in models]
    for model in models:
        card = model.card
        values = ", ".join(f"{name} {value:.4f}" for name, value in model.metrics.items())
        page = write_report(model, cards, arguments.models_dir, arguments.reports)
        print(f"{card.name}/{card.version} ({card.training.recipe}): {values}; {page}", flush=True)
        differing += differences(card, model.metrics)
    for line in differing:
        print(f"differs from its card: {line}", file=sys.stderr)
    return 1 if differing else 0
