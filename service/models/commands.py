"""`foretell models`: list, validate, compare and promote the versions in a folder.

The commands work on the folder alone; a service that runs follows it.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.settings.arguments import add_models_dir

if TYPE_CHECKING:
    from service.models.artifacts.labels import Labels
    from service.models.versions.loader import ModelLoader


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `models` and its own commands."""
    models = commands.add_parser("models", help="list, verify, compare and promote versions")
    add_models_dir(models)
    models.set_defaults(run=run_list, name=None)
    actions = models.add_subparsers(title="commands (default: list)", metavar="COMMAND")

    def action(name: str, text: str, run: Any) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=text, description=text)
        # Given before or after the action's name; the parser would else forget the former.
        add_models_dir(parser, default=argparse.SUPPRESS)
        parser.set_defaults(run=run)
        return parser

    model = "name of a model"
    listing = action("list", "every version: labels, recipe and metrics", run_list)
    listing.add_argument("name", nargs="?", help=model)
    show = action("show", "the card of a version", run_show)
    show.add_argument("name", help=model)
    show.add_argument(
        "version", nargs="?", help="number or label; by default `stable`'s, or the newest"
    )
    verify = action("verify", "load and validate versions, as the service does", run_verify)
    verify.add_argument("name", nargs="?", help=f"{model}; by default all")
    verify.add_argument("version", nargs="?", help="number or label; by default all")
    promote = action("promote", "make a version the default", run_promote)
    promote.add_argument("name", help=model)
    promote.add_argument("version", help="number or label; `latest`: the newest, also in future")
    rollback = action("rollback", "make the version before the default", run_rollback)
    rollback.add_argument("name", help=model)
    diff = action("diff", "how two versions differ: metrics, contract, graph", run_diff)
    diff.add_argument("name", help=model)
    diff.add_argument("versions", nargs=2, metavar="version", help="number or label")


def run_list(arguments: argparse.Namespace) -> int:
    """Print a line a version: name, number, recipe, metrics, labels; faults on standard error."""
    from service.errors import ArtifactError
    from service.models.artifacts.artifact import read_artifact
    from service.models.artifacts.folder import is_unloaded

    models_dir = _models_dir(arguments)
    failures = 0
    for name in _names(arguments, models_dir):
        try:
            known, unloaded = _known(models_dir, name), is_unloaded(models_dir / name)
        except ArtifactError as error:
            failures += _explain(name, error)
            continue
        labels, problem = _labels(models_dir / name, known)
        if problem:
            failures += _explain(name, problem)
        for version in known:
            try:
                card = read_artifact(models_dir, name, version).card
            except ArtifactError as error:
                failures += _explain(f"{name}/{version}", error)
                continue
            metrics = "  ".join(f"{metric} {value:.4f}" for metric, value in card.metrics.items())
            marks = "".join(f"  [{label}]" for label in labels.of(card.version))
            marks += "  (unloaded)" if unloaded else ""
            print(f"{name:<16} {card.version:>3}  {card.training.recipe:<10} {metrics}{marks}")
    return 1 if failures else 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print the card of a version without its curves, ranges of fields, and training history."""
    from service.models.artifacts.artifact import read_artifact
    from service.models.artifacts.labels import read_labels

    models_dir = _models_dir(arguments)
    version = _number(models_dir, arguments.name, arguments.version or "")
    card = read_artifact(models_dir, arguments.name, version).card
    facts = card.model_dump(
        mode="json",
        exclude={
            "curves": True,
            "training": {"history"},
            "confidence": {"training_ranges"},
            "contract": True,
            "files": True,
        },
    )
    facts["labels"] = read_labels(models_dir / card.name).of(card.version)
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:", *(f"  {key}: {inner}" for key, inner in value.items()), sep="\n")
        else:
            print(f"{name}: {value}")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Validate files, contract, graph and golden answers on the CPU; 1 if a version is invalid.

    Without a version the labels are checked too, as the service would follow them.
    """
    from service.errors import ArtifactError, ForetellError

    loader = _loader(arguments)
    models_dir = loader.models_dir
    failures = 0
    for name in _names(arguments, models_dir):
        try:
            wanted = _known(models_dir, name)
        except ArtifactError as error:
            failures += _explain(name, error)
            continue
        if arguments.version:
            wanted = [_number(models_dir, name, arguments.version)]
        elif problem := _labels(models_dir / name, wanted)[1]:
            failures += _explain(name, problem)
        for version in wanted:
            try:
                loaded = loader.load_version(name, version)
            except ForetellError as error:
                failures += _explain(f"{name}/{version}", error)
            else:
                print(f"{name}/{version}: valid, loaded in {loaded.load_ms:.0f} ms")
    return 1 if failures else 0


def run_promote(arguments: argparse.Namespace) -> int:
    """Validate a version, then point `stable` at it."""
    from service.models.versions.admin import default_version, promote

    loader, name = _loader(arguments), arguments.name
    _known(loader.models_dir, name)
    folder = loader.models_dir / name
    if arguments.version == "latest":
        promote(folder, None, None)
        print(f"{name}: the newest valid version is the default, now and in future")
        return 0
    version = _number(loader.models_dir, name, arguments.version)
    loader.load_version(name, version)
    before = default_version(folder, loader.load_version)
    promote(folder, version, before)
    print(
        f"{name}: version {version} is the default"
        + ("" if before in (None, version) else f", not {before}")
    )
    return 0


def run_rollback(arguments: argparse.Namespace) -> int:
    """Point `stable` at the default version before."""
    from service.errors import AdminError
    from service.models.versions.admin import default_version, point_back

    loader, name = _loader(arguments), arguments.name
    _known(loader.models_dir, name)
    folder = loader.models_dir / name
    default = default_version(folder, loader.load_version)
    if default is None:
        raise AdminError(f"no version of {name} can answer: there is nothing to go back from")
    version = point_back(folder, default, loader.load_version)
    print(f"{name}: version {version} is the default")
    return 0


def run_diff(arguments: argparse.Namespace) -> int:
    """Print the differences of two versions."""
    from service.models.artifacts.artifact import read_artifact
    from service.models.artifacts.diff import differences

    models_dir, name = _models_dir(arguments), arguments.name
    one, other = (
        read_artifact(models_dir, name, _number(models_dir, name, version))
        for version in arguments.versions
    )
    for line in differences(one, other):
        print(line)
    return 0


def _models_dir(arguments: argparse.Namespace) -> Path:
    from service.settings.settings import read_settings

    return read_settings(models_dir=arguments.models_dir).models_dir


def _loader(arguments: argparse.Namespace) -> "ModelLoader":
    from service.models.versions.loader import ModelLoader
    from service.tasks import TASKS

    return ModelLoader(_models_dir(arguments), TASKS, "cpu")


def _names(arguments: argparse.Namespace, models_dir: Path) -> list[str]:
    """Return the model that is asked for, or all; those of tasks also if they are unreadable."""
    from service.models.artifacts.folder import some_names
    from service.tasks import TASKS

    return [arguments.name] if arguments.name else some_names(models_dir, TASKS)


def _labels(folder: Path, known: list[str]) -> "tuple[Labels, str | None]":
    """Return the labels of a model of these versions, and why the service cannot follow them."""
    from service.errors import ArtifactError
    from service.models.artifacts.labels import Labels, read_labels

    try:
        labels = read_labels(folder)
    except ArtifactError as error:
        return Labels(), str(error)
    return labels, labels.stable_problem(known)


def _known(models_dir: Path, name: str) -> list[str]:
    """Return the versions of a model, oldest first.

    Raises UnknownModel, also for a path, or ArtifactError if its folder cannot be looked into.
    """
    from service.errors import UnknownModel
    from service.models.artifacts.folder import list_models, list_versions

    if name not in (every := list_models(models_dir, [name])):
        raise UnknownModel(name, every)
    return list_versions(models_dir, name)


def _number(models_dir: Path, name: str, wanted: str) -> str:
    """Return the number of a version or label; for an empty one `stable`'s, or the newest."""
    from service.errors import UnknownModel
    from service.models.artifacts.labels import STABLE, read_labels

    known = _known(models_dir, name)
    labels = read_labels(models_dir / name).versions
    number = labels.get(wanted or STABLE, wanted or known[-1])
    if number not in known:
        raise UnknownModel(f"{name}/{number}", [f"{name}/{version}" for version in known])
    return number


def _explain(what: str, error: Exception | str) -> int:
    print(f"foretell: {what}: {error}", file=sys.stderr)
    return 1
