"""`foretell train`: fit, evaluate, export, tabulate and report."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import keras

from service.contract.uncertainty import OOD_SCORE
from service.errors import ArtifactError, ModelError
from service.models.artifacts.artifact import MODEL, Artifact, read_artifact
from service.models.artifacts.card import Card
from service.models.artifacts.folder import list_models
from service.models.runtime.session import OnnxSession
from training.confidence.conformal import compute_confidence
from training.confidence.ood_score import fit_ood_score
from training.evaluation.curves import compute_curves
from training.evaluation.lecture import lecture_page
from training.evaluation.metrics import (
    compute_metrics,
    latency_us,
    measure,
    predict_probabilities,
)
from training.export.export import (
    THRESHOLD,
    Findings,
    publish_version,
    staged_version,
    write_files,
)
from training.export.via_tensorflow import export_via_tensorflow
from training.fitting.checkpoint import (
    EVERY,
    checkpoint_folder,
    count_kept_epochs,
    forget,
    keep_exported,
    read_exported,
)
from training.fitting.fit import Fitted, fit, keep_freed_memory
from training.fitting.processes import worker_pool
from training.options import check_epochs, check_seed, load_splits, make_folder, named_training
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS
from training.reports.report import write_report
from training.reports.results import format_table


@dataclass(frozen=True)
class Job:
    """One recipe to fit and export; it can be pickled, for another process."""

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
        """The training of its task."""
        return TASK_TRAININGS[self.task]

    @property
    def checkpoint(self) -> Path:
        """The folder that keeps the state of its fit."""
        return checkpoint_folder(
            self.output, self.training, self.recipe, self.data, self.seed, self.epochs
        )

    @property
    def title(self) -> str:
        """The line that is printed before it."""
        made_up = "" if self.data.published else ", not the published data"
        rows = len(self.data.train.labels)
        return f"{self.training.task.title}: {self.recipe}, {rows:,} rows{made_up}"


def train(arguments: argparse.Namespace) -> int:
    """Fit the requested recipes, export each, print a table of all and write their reports.

    Returns 0; ends the command if its options are wrong.
    """
    if arguments.lecture_data:
        return _lecture(arguments)
    chosen = list(_chosen(arguments))
    if arguments.smoke and arguments.reports is arguments.parser.get_default("reports"):
        arguments.reports = None  # those of synthetic data would replace real ones
    for option in ("output", "reports", "tensorboard"):
        make_folder(arguments, option)
    data = {training.task.name: load_splits(training, arguments) for training, _ in chosen}
    jobs = [
        Job(
            task=training.task.name,
            recipe=recipe,
            data=data[training.task.name],
            seed=arguments.seed,
            epochs=arguments.epochs or (1 if arguments.smoke else training.recipes[recipe].epochs),
            restart=arguments.restart,
            output=arguments.output,
            tensorboard=arguments.tensorboard,
        )
        for training, recipe in chosen
    ]
    # A real fit uses every core; a smoke run mostly waits for graphs to be traced.
    one_by_one = len(jobs) == 1 or not arguments.smoke
    artifacts = list(_one_after_another(jobs) if one_by_one else _in_parallel(jobs))
    for job in jobs:
        forget(job.checkpoint)
    print(f"\n{format_table([artifact.card for artifact in artifacts], arguments.output)}\n")
    if arguments.reports is None:
        return 0
    cards = _readable_cards(arguments.output)
    for artifact in artifacts:
        model = measure(artifact, data[artifact.card.task].test)
        page = write_report(model, cards, arguments.output, arguments.reports)
        print(f"report: {page}", flush=True)
    return 0


def export_fitted(
    training: TaskTraining, recipe: str, fitted: Fitted, data: DataSplits, models_dir: Path
) -> Path:
    """Export a fitted network as the next version of its name and return the version's folder.

    The network becomes an ONNX graph; pictures get an in-distribution score; the written graph
    is evaluated on the test split and its sets are calibrated; the card comes last. Raises
    ArtifactError, leaving nothing behind, unless ONNX Runtime repeats Keras' golden answers.
    """
    exported = export_via_tensorflow(training, recipe, fitted, data)
    ood_threshold = None
    if OOD_SCORE in training.task.contract.output_names:
        scored = fit_ood_score(
            exported.graph, exported.inputs, training, training.recipes[recipe], data
        )
        ood_threshold = scored.threshold
        answers = exported.answers | {OOD_SCORE: scored.golden}
        exported = replace(exported, graph=scored.graph, answers=answers)
    with staged_version(models_dir, training.model_name(recipe)) as folder:
        write_files(folder, training, exported, data)
        session = OnnxSession(folder / MODEL, "cpu")
        probabilities, labels = predict_probabilities(session, data.test.inputs), data.test.labels
        findings = Findings(
            metrics=compute_metrics(probabilities, labels, THRESHOLD),
            curves=compute_curves(probabilities, labels, THRESHOLD),
            latency_us=latency_us(session, exported.inputs[:1]),
            confidence=compute_confidence(
                training,
                recipe,
                session,
                data,
                ood_threshold,
                seed=fitted.seed,
                epochs=fitted.requested_epochs,
            ),
        )
        return publish_version(folder, training, recipe, fitted, exported, data, findings)


def _one_after_another(jobs: list[Job]) -> Iterator[Artifact]:
    keep_freed_memory()
    for job in jobs:
        print(f"\n{job.title}", flush=True)
        try:
            artifact, line = _train_one(job)
        except KeyboardInterrupt:
            print(f"\ninterrupted; {_describe_resumption(job)}", file=sys.stderr)
            raise
        print(line, flush=True)
        yield artifact


def _in_parallel(jobs: list[Job]) -> Iterator[Artifact]:
    with worker_pool(len(jobs), initializer=keep_freed_memory) as pool:
        # The default of a task takes longest: started last, it would leave the other cores idle.
        order = sorted(jobs, key=lambda job: job.recipe != job.training.default)
        fits = {(job.task, job.recipe): pool.submit(_train_one, job, True) for job in order}
        for job in jobs:
            artifact, line = fits[job.task, job.recipe].result()
            print(f"\n{job.title}\n{line}", flush=True)
            yield artifact


def _train_one(job: Job, quiet: bool = False) -> tuple[Artifact, str]:
    """Fit and export one recipe; return the artifact and a line about it."""
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
    folder = export_fitted(job.training, job.recipe, fitted, job.data, job.output)
    keep_exported(job.checkpoint, folder.name)
    line = (
        f"{fitted.epochs} epoch{'s' * (fitted.epochs > 1)} in {fitted.seconds:.0f} s on "
        f"{fitted.device}, {fitted.parameters:,} parameters; written to {folder}"
    )
    return read_artifact(job.output, name, folder.name), line


def _readable_cards(models_dir: Path) -> list[Card]:
    # A card of an older format cannot be read; the reports of new models are written all the same.
    cards = []
    for name in list_models(models_dir):
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
    # `is`: a folder that was named on the command line may well be the default one.
    if arguments.smoke and arguments.output is arguments.parser.get_default("output"):
        arguments.parser.error(
            "--smoke makes models of made-up data: name a folder for them, --output; a service "
            f"would load them from {arguments.output}"
        )


def _describe_resumption(job: Job) -> str:
    if done := count_kept_epochs(job.checkpoint):
        return f"the same command goes on after epoch {done} of {job.epochs}"
    return f"nothing of this fit is kept yet: that happens every {EVERY:.0f} seconds"


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
        fail(training.describe_missing(recipe))
    yield training, recipe


def _logs(folder: Path | None, name: str) -> list[keras.callbacks.Callback]:
    if folder is None:
        return []
    run = folder / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
    return [keras.callbacks.TensorBoard(run, write_graph=False)]


def _exported(models_dir: Path, name: str, checkpoint: Path) -> Artifact | None:
    """Return the version that an interrupted run wrote, if it is still there."""
    if (version := read_exported(checkpoint)) is None:
        return None
    try:
        return read_artifact(models_dir, name, version)
    except ModelError:
        return None
