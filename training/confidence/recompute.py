"""Confidence recomputed for a version that is on disk already; its network is not touched."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from service.contract.uncertainty import OOD_SCORE
from service.errors import ArtifactError
from service.models.artifacts.artifact import CARD, GOLDEN, MODEL, SIGNATURE, Artifact, sha256
from service.models.artifacts.card import Card
from service.models.runtime.session import OnnxSession
from training.artifacts.golden import write_golden
from training.artifacts.graph import remove_score, write_graph
from training.confidence.conformal import compute_confidence
from training.confidence.ood_score import fit_ood_score
from training.evaluation.metrics import latency_us
from training.recipe import DataSplits, Recipe, TaskTraining


def recompute_confidence(artifact: Artifact, training: TaskTraining, data: DataSplits) -> Card:
    """Recompute a version's confidence from its recipe's data, write it in place, return the card.

    A graph of pictures gets a new score; its other outputs must stay equal to the last bit. The
    card is written last, so that a service that looks meanwhile refuses the version rather than
    serves half of it. Raises ArtifactError, and leaves the version as it was.
    """
    card = artifact.card
    recipe = _recipe_of(card, training)
    epochs = _requested_epochs(card, training, recipe)
    artifact.verify_files()
    work = Path(tempfile.mkdtemp(prefix=".incoming-", dir=artifact.folder.parent))
    try:
        shutil.copytree(artifact.folder, work, dirs_exist_ok=True)
        threshold, facts = None, card.training
        if OOD_SCORE in training.task.contract.output_names:
            before = OnnxSession(artifact.model, "cpu")
            inputs, answers = artifact.golden()
            bare = remove_score(onnx.load(artifact.model))
            scored = fit_ood_score(bare, inputs, training, recipe, data)
            threshold, answers[OOD_SCORE] = scored.threshold, scored.golden
            write_graph(scored.graph, work)
            write_golden(training.task, inputs, answers, work)
            after = OnnxSession(work / MODEL, "cpu")
            check_unchanged(before, after, data.test.inputs[:1000])
            facts = facts.model_copy(update={"latency_us": latency_us(after, inputs[:1])})
        confidence = compute_confidence(
            training,
            card.training.recipe,
            OnnxSession(work / MODEL, "cpu"),
            data,
            threshold,
            seed=card.training.seed,
            epochs=epochs,
        )
        recomputed = Card.model_validate(
            card.model_dump()
            | {
                "training": facts.model_dump(),
                "confidence": confidence.model_dump(),
                "contract": training.task.contract.model_dump(),
                "contract_hash": training.task.contract.hash,
                "files": {file: sha256(work / file) for file in card.files},
                "limits": training.limits,
            }
        )
        (work / CARD).write_text(recomputed.text(), encoding="utf-8")
        for file in (MODEL, GOLDEN, SIGNATURE, CARD):
            (work / file).replace(artifact.folder / file)
        return recomputed
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _recipe_of(card: Card, training: TaskTraining) -> Recipe:
    if (name := card.training.recipe) not in training.recipes:
        raise ArtifactError(f"{card.name}/{card.version}: {training.describe_missing(name)}")
    return training.recipes[name]


def _requested_epochs(card: Card, training: TaskTraining, recipe: Recipe) -> int:
    """Return the epochs to fit networks for that are to be like this one, if a task fits any."""
    facts = card.training
    if facts.requested_epochs is not None:
        return facts.requested_epochs
    stopped = recipe.patience is not None and facts.epochs < recipe.epochs
    if training.folds and facts.epochs != recipe.epochs and not stopped:
        raise ArtifactError(
            f"{card.name}/{card.version} was fitted for {facts.epochs} epochs, its recipe says "
            f"{recipe.epochs}, and the card does not say how many were requested; train it again"
        )
    return recipe.epochs


def check_unchanged(before: OnnxSession, after: OnnxSession, inputs: NDArray[Any]) -> None:
    """Raise ArtifactError unless two graphs answer alike, but for the score, to the last bit."""
    new = after.run(inputs)
    for name, old in before.run(inputs).items():
        if name != OOD_SCORE and not np.array_equal(new[name], old):
            raise ArtifactError(f"output {name!r} is no longer what it was before")
