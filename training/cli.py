"""The training commands of `foretell`; TensorFlow is imported only when one of them runs."""

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from service.errors import ForetellError
from service.settings.arguments import add_models_dir, add_task
from service.settings.settings import Settings

MODELS_DIR = Path(
    os.environ.get("FORETELL_MODELS_DIR") or Settings.model_fields["models_dir"].default
)
REPORTS_DIR = Path("reports")


class TrainingNotInstalled(ForetellError):
    """A training command was called in an environment without TensorFlow."""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands of training; the entry point group `foretell.commands` names this."""
    train = commands.add_parser("train", help="fit a network and export it as a new version")
    add_task(train, nargs="?")
    train.add_argument("--all", action="store_true", help="every recipe of every task")
    train.add_argument("--recipe", help="a network by name (default: the task's best)")
    train.add_argument("--epochs", type=int, help="number of epochs (default: the recipe's)")
    train.add_argument(
        "--seed", type=int, default=0, help="of weights, row order and augmentation (default: 0)"
    )
    train.add_argument(
        "--restart",
        action="store_true",
        help="start from the first epoch, even if a fit was interrupted",
    )
    train.add_argument(
        "--smoke",
        action="store_true",
        help="try the command: synthetic data, one epoch; needs --output; writes reports only if "
        "--reports is given",
    )
    train.add_argument(
        "--lecture-data",
        action="store_true",
        help="heart only: measure the lecture's network on the lecture's faulty file and on the "
        "clean data; exports nothing",
    )
    _add_data_dir(train)
    train.add_argument("--output", type=Path, default=MODELS_DIR, help="folder of models to add to")
    _add_reports(train)
    train.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="write TensorBoard logs to folders in DIR"
    )
    train.set_defaults(run=run_train, parser=train)

    evaluate = commands.add_parser(
        "evaluate",
        help="measure models, compare them with their cards and write reports; with a task, fit "
        "and measure its recipes by its evaluation protocol",
    )
    add_task(evaluate, nargs="?")
    evaluate.add_argument("--recipe", help="a recipe by name (default: every recipe of the task)")
    evaluate.add_argument("--epochs", type=int, help="number of epochs (default: the recipe's)")
    mode = evaluate.add_mutually_exclusive_group()
    mode.add_argument(
        "--missing", action="store_true", help="metrics by number of optional fields removed"
    )
    mode.add_argument(
        "--fairness", action="store_true", help="metrics by sex, education, marriage and age"
    )
    mode.add_argument(
        "--confidence",
        action="store_true",
        help="coverage of the exported model's sets, and the shares of pictures that it flags",
    )
    _add_data_dir(evaluate)
    add_models_dir(evaluate, default=MODELS_DIR)
    _add_reports(evaluate)
    evaluate.set_defaults(run=run_evaluate, parser=evaluate)

    tune = commands.add_parser("tune", help="compare parameters of a recipe by cross-validation")
    add_task(tune)
    tune.add_argument("--recipe", help="a network by name (default: the task's best)")
    tune.add_argument(
        "--grid",
        action="append",
        required=True,
        metavar="NAME=V1,V2,…",
        help="values of one parameter; repeat for others, every combination is fitted",
    )
    tune.add_argument("--folds", type=int, default=3, help="number of folds (default: 3)")
    tune.add_argument("--rows", type=int, help="size of a stratified sample (default: all rows)")
    tune.add_argument(
        "--seed", type=int, default=0, help="of folds, weights and row order (default: 0)"
    )
    tune.add_argument("--processes", type=int, help="parallel processes (default: one a processor)")
    tune.add_argument("--smoke", action="store_true", help="synthetic data, one epoch")
    _add_data_dir(tune)
    tune.add_argument(
        "--reports", type=Path, default=REPORTS_DIR, help="folder of reports to add to"
    )
    tune.set_defaults(run=run_tune, parser=tune)

    confidence = commands.add_parser(
        "confidence",
        help="recompute the confidence of models on disk; no weight changes",
    )
    confidence.add_argument(
        "names", nargs="*", metavar="name", help="names of models (default: all)"
    )
    _add_data_dir(confidence)
    add_models_dir(confidence, default=MODELS_DIR)
    confidence.set_defaults(run=run_confidence, parser=confidence)

    results = commands.add_parser("results", help="tabulate the cards of all models, as Markdown")
    add_models_dir(results, default=MODELS_DIR)
    results.add_argument("--output", type=Path, help="file to write to (default: print)")
    results.set_defaults(run=run_results, parser=results)


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="local copies of the data sets (default: FORETELL_DATA_DIR, else they are downloaded)",
    )


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reports",
        type=Path,
        metavar="DIR",
        default=REPORTS_DIR,
        help="folder for a page on each model: DIR/<name>/<version>/index.html (default: reports)",
    )


def run_train(arguments: argparse.Namespace) -> int:
    """Run `foretell train`: fit, evaluate, export, tabulate and report."""
    _require_training()
    from training.train import train

    return train(arguments)


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Run `foretell evaluate`: return 0 if every model is as good as its card says, else 1.

    It writes a report of each model. With a task, it prints tables of metrics and returns 0.
    """
    _require_training()
    from training.evaluate_commands import evaluate

    return evaluate(arguments)


def run_tune(arguments: argparse.Namespace) -> int:
    """Run `foretell tune`: a table and a plot of a cross-validated grid search."""
    _require_training()
    # This process looks at the device too, and must leave a GPU's memory to those that fit.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    from training.tune import tune

    return tune(arguments)


def run_confidence(arguments: argparse.Namespace) -> int:
    """Run `foretell confidence`: the newest version of each model, in place."""
    _require_training()
    from training.evaluate_commands import confidence

    return confidence(arguments)


def run_results(arguments: argparse.Namespace) -> int:
    """Run `foretell results`: docs/method/results.md, from the cards alone."""
    from training.reports.results import results_page

    page = results_page(arguments.models_dir)
    if arguments.output:
        try:
            arguments.output.write_text(page, encoding="utf-8")
        except OSError as error:
            arguments.parser.error(f"--output: {arguments.output}: {error.strerror}")
    else:
        print(page)
    return 0


def _require_training() -> None:
    if find_spec("tensorflow") is None:
        raise TrainingNotInstalled(
            "training is not installed in this environment: in a clone, use `make train`, or "
            "pip install -e '.[training]' in an environment of its own ('.[training-gpu]' on a GPU)"
        )
    # TensorFlow reads this when it is imported: warnings and errors only.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
