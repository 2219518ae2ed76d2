"""`foretell train`: fit, export, tabulate and report."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras

from service.errors import ArtifactError, ModelError
from service.models.artifacts.artifact import Artifact, read_artifact
from service.models.artifacts.card import Card
from service.models.artifacts.folder import names
from training.evaluation.lecture import lecture_page
from training.evaluation.metrics import measure
from training.export.via_tensorflow import export
from training.fitting.checkpoint import (
    EVERY,
    checkpoint_folder,
    count_kept_epochs,
    forget,
    keep_exported,
    read_exported,
)
from training.fitting.fit import fit, keep_freed_memory
from training.fitting.processes import worker_pool
from training.options import check_epochs, check_seed, load_splits, make_folder, named_training
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS
from training.reports.report import write_report
from training.reports.results import table


@dataclass(frozen=True)
class Job:
    """One recipe to be fitted and exported. It goes to another process as it is."""

    task: str
    recipe: str
    data: DataSplits
    seed: int
    epochs: int
    restart: bool
    output: Path
    tensorboard: Path | None

    @property
    def training(self) -> TaskTraining:
        """Of its task."""
        return TASK_TRAININGS[self.task]

    @property
    def checkpoint(self) -> Path:
        """Where the state of its fit is kept."""
        return checkpoint_folder(
            self.output, self.training, self.recipe, self.data, self.seed, self.epochs
        )

    @property
    def title(self) -> str:
        """What is said of it beforehand."""
        made_up = "" if self.data.published else ", not the published data"
        rows = len(self.data.train.labels)
        return f"{self.training.task.title}: {self.recipe}, {rows:,} rows{made_up}"


def train(arguments: argparse.Namespace) -> int:
    """Fit the recipes asked for, export each, print a table of all, write their reports."""
    if arguments.lecture_data:
        return _lecture(arguments)
    chosen = list(_chosen(arguments))
    if arguments.smoke and arguments.reports is arguments.parser.get_default("reports"):
        arguments.reports = None  # of made-up data, they would only take the place of real ones
    for option in ("output", "reports", "tensorboard"):
        make_folder(arguments, option)
    prepared = {training.task.name: load_splits(training, arguments) for training, _ in chosen}
    jobs = [
        Job(
            task=training.task.name,
            recipe=recipe,
            data=prepared[training.task.name],
            seed=arguments.seed,
            epochs=arguments.epochs or (1 if arguments.smoke else training.recipes[recipe].epochs),
            restart=arguments.restart,
            output=arguments.output,
            tensorboard=arguments.tensorboard,
        )
        for training, recipe in chosen
    ]
    # A fit in earnest has use for every core; a try-out mostly waits for graphs to be traced.
    one_by_one = len(jobs) == 1 or not arguments.smoke
    artifacts = list(_in_turn(jobs) if one_by_one else _side_by_side(jobs))
    for job in jobs:
        forget(job.checkpoint)
    print(f"\n{table([artifact.card for artifact in artifacts], arguments.output)}\n")
    if arguments.reports is None:
        return 0
    cards = _readable_cards(arguments.output)
    for artifact in artifacts:
        model = measure(artifact, prepared[artifact.card.task].test)
        page = write_report(model, cards, arguments.output, arguments.reports)
        print(f"report: {page}", flush=True)
    return 0


def _in_turn(jobs: list[Job]) -> Iterator[Artifact]:
    keep_freed_memory()
    for job in jobs:
        print(f"\n{job.title}", flush=True)
        try:
            artifact, words = _train_one(job)
        except KeyboardInterrupt:
            print(f"\ninterrupted; {_how_to_go_on(job)}", file=sys.stderr)
            raise
        print(words, flush=True)
        yield artifact


def _side_by_side(jobs: list[Job]) -> Iterator[Artifact]:
    with worker_pool(len(jobs), initializer=keep_freed_memory) as pool:
        # The default of a task takes longest: begun last, it would leave the other cores idle.
        order = sorted(jobs, key=lambda job: job.recipe != job.training.default)
        fits = {(job.task, job.recipe): pool.submit(_train_one, job, True) for job in order}
        for job in jobs:
            artifact, words = fits[job.task, job.recipe].result()
            print(f"\n{job.title}\n{words}", flush=True)
            yield artifact


def _train_one(job: Job, quiet: bool = False) -> tuple[Artifact, str]:
    """What was exported, and what is to be said of it."""
    if job.restart:
        forget(job.checkpoint)
    name = job.training.model_name(job.recipe)
    if artifact := _exported(job.output, name, job.checkpoint):
        card = artifact.card
        return artifact, f"an interrupted run has written it: {card.name}/{card.version}"
    fitted = fit(
        job.training,
        job.training.recipes[job.recipe],
        job.data,
        seed=job.seed,
        epochs=job.epochs,
        quiet=quiet,
        checkpoint=job.checkpoint,
        callbacks=_logs(job.tensorboard, name),
    )
    folder = export(job.training, job.recipe, fitted, job.data, job.output)
    keep_exported(job.checkpoint, folder.name)
    words = (
        f"{fitted.epochs} epoch{'s' * (fitted.epochs > 1)} in {fitted.seconds:.0f} s on "
        f"{fitted.device}, {fitted.parameters:,} parameters; written to {folder}"
    )
    return read_artifact(job.output, name, folder.name), words


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
    check_epochs(arguments)
    print(lecture_page(arguments.data_dir, arguments.epochs))
    return 0


def _check_smoke(arguments: argparse.Namespace) -> None:
    # `is`: who names the folder that is the default says so on purpose.
    if arguments.smoke and arguments.output is arguments.parser.get_default("output"):
        arguments.parser.error(
            "--smoke makes models of made-up data: name a folder for them, --output; from "
            f"{arguments.output} a service would take them up"
        )


def _how_to_go_on(job: Job) -> str:
    if done := count_kept_epochs(job.checkpoint):
        return f"the same command goes on after epoch {done} of {job.epochs}"
    return f"nothing is kept of this fit yet, for that is done every {EVERY:.0f} seconds"


def _chosen(arguments: argparse.Namespace) -> Iterator[tuple[TaskTraining, str]]:
    fail = arguments.parser.error
    if arguments.all == bool(arguments.task):
        fail(f"name one task ({', '.join(TASK_TRAININGS)}), or --all")
    check_epochs(arguments)
    check_seed(arguments)
    _check_smoke(arguments)
    if arguments.all:
        if arguments.recipe:
            fail("--recipe goes with one task, not with --all")
        for training in TASK_TRAININGS.values():
            yield from ((training, recipe) for recipe in training.recipes)
        return
    training = named_training(arguments)
    recipe = arguments.recipe or training.default
    if recipe not in training.recipes:
        fail(training.no_recipe(recipe))
    yield training, recipe


def _logs(folder: Path | None, name: str) -> list[keras.callbacks.Callback]:
    if folder is None:
        return []
    run = folder / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    return [keras.callbacks.TensorBoard(run, write_graph=False)]


def _exported(models_dir: Path, name: str, checkpoint: Path) -> Artifact | None:
    """What an interrupted run had already written, if it is still there."""
    if (version := read_exported(checkpoint)) is None:
        return None
    try:
        return read_artifact(models_dir, name, version)
    except ModelError:
        return None
