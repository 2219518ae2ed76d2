"""`foretell tune`: a cross-validated grid search over the parameters of a recipe."""

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from training.evaluation.folds import Folds
from training.evaluation.grid_search.grid import (
    BadGrid,
    Value,
    Values,
    format_value,
    list_cells,
    list_parameters,
    parse_grid,
)
from training.evaluation.grid_search.report import (
    METRICS,
    Cell,
    grid_table,
    rank_cells,
    write_picture,
)
from training.evaluation.grid_search.trials import Study, Trial, TrialFile, run_trials
from training.fitting.checkpoint import reproducibility_key
from training.options import check_seed, load_splits, named_training
from training.recipe import Recipe, TaskTraining

TRIALS = "trials.jsonl"
Grid = Mapping[str, Sequence[Value]]


def tune(arguments: argparse.Namespace) -> int:
    """Fit every cell of a grid on every fold, write the table and the plot, print the table.

    Returns 1 if no cell could be fitted, else 0.
    """
    training, recipe = _chosen(arguments)
    fail = arguments.parser.error
    parameters = list_parameters(training, recipe)
    try:
        grid = parse_grid(arguments.grid, recipe, parameters)
    except BadGrid as error:
        fail(f"--grid: {error}")
    folds = _folds(arguments, training, recipe.validates or "patience" in grid)
    study = Study(
        task=training.task.name,
        recipe=arguments.recipe or training.default,
        data=folds.form.source.name,
        fingerprint=folds.form.fingerprint,
        rows=len(folds.number),
        folds=arguments.folds,
        seed=arguments.seed,
        **reproducibility_key(training),
    )
    folder = arguments.reports / study.folder
    try:
        file = TrialFile(folder / TRIALS, study)
    except OSError as error:
        fail(f"--reports: {folder}: {error.strerror}")
    homes = Counter(parameter.name for parameter in parameters)
    present = {p.name: p.present for p in parameters if homes[p.name] == 1}
    chosen = list_cells(grid)
    wanted = [(present | cell, fold) for cell in chosen for fold in range(study.folds)]
    _run(arguments, study, folds, wanted, list(grid), file)
    results = [
        Cell(cell, [t for f in range(study.folds) if (t := file.find(present | cell, f))])
        for cell in chosen
    ]
    table = f"{_words(study, folds)}\n\n{grid_table(results)}"
    command = _command(arguments, study, grid)
    page, picture = (folder / f"{_name(grid)}{suffix}" for suffix in (".md", ".png"))
    fitted = not rank_cells(results)[0].diverged
    drawn = f"\n![Scores]({picture.name})\n" if fitted else ""
    page.write_text(f"# {command}\n\n{table}\n{drawn}", encoding="utf-8")
    print(f"\n{table}\n\n{page}")
    if not fitted:
        print("foretell: no cell could be fitted on every fold", file=sys.stderr)
        return 1
    write_picture(results, grid, picture, command)
    print(picture)
    return 0


def _command(arguments: argparse.Namespace, study: Study, grid: Grid) -> str:
    """Format the command as given, without the options that no score depends on."""
    words = [f"foretell tune {study.task} --recipe {study.recipe}"]
    words += [
        f"--grid {name}={','.join(map(format_value, values))}" for name, values in grid.items()
    ]
    for option in ("folds", "rows", "seed"):
        if (value := getattr(arguments, option)) is not None:
            words.append(f"--{option} {value}")
    return " ".join([*words, *["--smoke"] * arguments.smoke])


def _name(grid: Grid) -> str:
    """Return the name of the files about a grid: its parameters, and a hash of all values."""
    key = hashlib.sha256(json.dumps(grid).encode()).hexdigest()[:8]
    return "-".join([*grid, key])


def _chosen(arguments: argparse.Namespace) -> tuple[TaskTraining, Recipe]:
    fail = arguments.parser.error
    check_seed(arguments)
    for option, low in {"folds": 2, "processes": 1, "rows": 1}.items():
        value = getattr(arguments, option)
        if value is not None and value < low:
            fail(f"--{option}: expected at least {low}, got {value}")
    training = named_training(arguments)
    name = arguments.recipe or training.default
    if name not in training.recipes:
        fail(training.describe_missing(name))
    recipe = training.recipes[name]
    return training, replace(recipe, epochs=1) if arguments.smoke else recipe


def _folds(arguments: argparse.Namespace, training: TaskTraining, validates: bool) -> Folds:
    fail = arguments.parser.error
    data = load_splits(training, arguments)
    total = len(data.train.labels) + len(data.validation.labels)
    if arguments.rows is not None and arguments.rows > total:
        fail(f"--rows: expected at most {total} (those of training and validation), got "
             f"{arguments.rows}")  # fmt: skip
    try:
        folds = Folds.of(data, arguments.folds, arguments.seed, arguments.rows)
        for fold in range(arguments.folds):
            folds.split(fold, validates=validates)
    except ValueError as error:
        fail(f"--rows and --folds: too few rows for so many folds: {error}")
    return folds


def _run(
    arguments: argparse.Namespace,
    study: Study,
    folds: Folds,
    wanted: Sequence[tuple[Values, int]],
    varied: Sequence[str],
    file: TrialFile,
) -> None:
    """Fit the trials that the file does not have, and print a line for each."""
    jobs = [job for job in wanted if file.find(*job) is None]
    taken = len(wanted) - len(jobs)
    print(
        f"{len(wanted) // study.folds} cells on {study.folds} folds of {study.rows:,} rows: "
        f"{len(wanted)} trials, {taken} of them taken from {file.path}",
        flush=True,
    )
    if not jobs:
        return
    start = time.perf_counter()
    trials = run_trials(study, folds, jobs, arguments.processes)
    try:
        with closing(trials):
            for number, trial in enumerate(trials, taken + 1):
                file.add(trial)
                print(f"[{number}/{len(wanted)}] {_line(trial, varied)}", flush=True)
    except KeyboardInterrupt:
        kept = sum(file.find(*job) is not None for job in wanted)
        print(
            f"\nstopped; {kept} of {len(wanted)} trials are kept in {file.path}, and the same "
            "command goes on from there",
            file=sys.stderr,
        )
        raise
    print(f"{len(jobs)} trials in {time.perf_counter() - start:.0f} s", flush=True)


def _line(trial: Trial, varied: Sequence[str]) -> str:
    where = " ".join(f"{name}={format_value(trial.values[name])}" for name in varied)
    scores = ", ".join(f"{METRICS[name]} {value:.4f}" for name, value in trial.held_out.items())
    what = f"diverged: {trial.diverged}" if trial.diverged else f"{scores}, {trial.seconds:.1f} s"
    return f"{where} fold {trial.fold + 1}: {what}"


def _words(study: Study, folds: Folds) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in study.libraries.items())
    unpublished = "" if folds.form.published else " **Not the published data.**"
    return (
        f"{study.task}, {study.recipe}: {study.rows:,} rows of {study.data} (training and "
        f"validation part; the test part was not touched) in {study.folds} stratified folds, seed "
        f"{study.seed}. Mean ± standard deviation over the folds, of the rows learned from and of "
        "the fold held out; lowest log-loss held out first, in bold. Seconds are those of one fit "
        f"on one thread. {libraries}, on {study.device}.{unpublished}"
    )
