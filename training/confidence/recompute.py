"""Confidence for a version that is on disk already, anew: its network is not touched."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from service.contract.task import ImageTask
from service.contract.uncertainty import FAMILIARITY
from service.errors import ArtifactError
from service.models.artifacts.artifact import CARD, GOLDEN, MODEL, SIGNATURE, Artifact, sha256
from service.models.artifacts.card import Card
from service.models.runtime.session import Predictor
from training.artifacts.golden import write_golden
from training.artifacts.graph import (
    add_score,
    features_by_numpy,
    remove_score,
    write_graph,
)
from training.confidence.conformal import compute_confidence
from training.confidence.ood_score import choose_ood_threshold, train_score_head
from training.evaluation.metrics import latency_us
from training.recipe import DataSplits, Recipe, TaskTraining


def recompute_confidence(artifact: Artifact, training: TaskTraining, data: DataSplits) -> Card:
    """Compute a version's confidence from the rows of its recipe, and write it in place.

    Of pictures the graph gets its further output anew; what it answered before, it must answer to
    the last bit. The card comes last, so that a service that looks meanwhile refuses the version
    rather than to serve half of it. Raises ArtifactError, and leaves the version as it was.
    """
    card = artifact.card
    recipe = _recipe_of(card, training)
    epochs = _requested_epochs(card, training, recipe)
    artifact.verify_files()
    work = Path(tempfile.mkdtemp(prefix=".incoming-", dir=artifact.folder.parent))
    try:
        shutil.copytree(artifact.folder, work, dirs_exist_ok=True)
        familiar, training_facts = None, card.training
        if isinstance(training.task, ImageTask):
            before = Predictor(artifact.model, "cpu")
            bare = remove_score(onnx.load(artifact.model))
            golden, answers = artifact.golden()
            head = train_score_head(bare, training, recipe, data)
            familiar = choose_ood_threshold(bare, head, training, recipe, data)
            answers[FAMILIARITY] = head.familiarity(features_by_numpy(bare, golden))
            write_graph(add_score(bare, head), work)
            write_golden(training.task, golden, answers, work)
            after = Predictor(work / MODEL, "cpu")
            check_unchanged(before, after, data.test.inputs[:1000])
            latency = latency_us(after, golden[:1])
            training_facts = training_facts.model_copy(update={"latency_us": latency})
        confidence = compute_confidence(
            training,
            card.training.recipe,
            Predictor(work / MODEL, "cpu"),
            data,
            familiar,
            seed=card.training.seed,
            epochs=epochs,
        )
        renewed = Card.model_validate(
            card.model_dump()
            | {
                "training": training_facts.model_dump(),
                "confidence": confidence.model_dump(),
                "contract": training.task.contract.model_dump(),
                "contract_hash": training.task.contract.hash,
                "files": {file: sha256(work / file) for file in card.files},
                "limits": training.limits,
            }
        )
        (work / CARD).write_text(renewed.text(), encoding="utf-8")
        for file in (MODEL, GOLDEN, SIGNATURE, CARD):
            (work / file).replace(artifact.folder / file)
        return renewed
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _recipe_of(card: Card, training: TaskTraining) -> Recipe:
    if (name := card.training.recipe) not in training.recipes:
        raise ArtifactError(f"{card.name}/{card.version}: {training.no_recipe(name)}")
    return training.recipes[name]


def _requested_epochs(card: Card, training: TaskTraining, recipe: Recipe) -> int:
    """For how many epochs networks are fitted again as this one was, of a task that does so."""
    facts = card.training
    if facts.requested_epochs is not None:
        return facts.requested_epochs
    stopped = recipe.patience is not None and facts.epochs < recipe.epochs
    if training.folds and facts.epochs != recipe.epochs and not stopped:
        raise ArtifactError(
            f"{card.name}/{card.version} was fitted for {facts.epochs} epochs, its recipe says "
            f"{recipe.epochs}, and the card not how many were asked for; train it anew"
        )
    return recipe.epochs


def check_unchanged(before: Predictor, after: Predictor, inputs: NDArray[Any]) -> None:
    """Raises ArtifactError unless one graph answers as the other did, to the last bit."""
    new = after.predict(inputs)
    for name, old in before.predict(inputs).items():
        if name != FAMILIARITY and not np.array_equal(new[name], old):
            raise ArtifactError(f"output {name!r} is no longer what it was before")
