"""Confidence for a version that is on disk already, anew: its network is not touched."""

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
from training.artifacts.graph import (
    features_by_numpy,
    with_familiarity,
    without_familiarity,
    write_graph,
)
from training.confidence.conformal import confidence_of
from training.confidence.ood_score import familiar_of, head_of
from training.evaluation.metrics import latency_us
from training.recipe import Course, Prepared, Recipe


def renew(artifact: Artifact, course: Course, data: Prepared) -> Card:
    """Compute a version's confidence from the rows of its recipe, and write it in place.

    Of pictures the graph gets its further output anew; what it answered before, it must answer to
    the last bit. The card comes last, so that a service that looks meanwhile refuses the version
    rather than to serve half of it. Raises ArtifactError, and leaves the version as it was.
    """
    card = artifact.card
    recipe = _recipe_of(card, course)
    epochs = _asked(card, course, recipe)
    artifact.verify_files()
    work = Path(tempfile.mkdtemp(prefix=".incoming-", dir=artifact.folder.parent))
    try:
        shutil.copytree(artifact.folder, work, dirs_exist_ok=True)
        familiar, training = None, card.training
        if OOD_SCORE in course.task.contract.output_names:
            before = OnnxSession(artifact.model, "cpu")
            bare = without_familiarity(onnx.load(artifact.model))
            golden, answers = artifact.golden()
            head = head_of(bare, course, recipe, data)
            familiar = familiar_of(bare, head, course, recipe, data)
            answers[OOD_SCORE] = head.familiarity(features_by_numpy(bare, golden))
            write_graph(with_familiarity(bare, head), work)
            write_golden(course.task, golden, answers, work)
            after = OnnxSession(work / MODEL, "cpu")
            check_unchanged(before, after, data.test.inputs[:1000])
            latency = latency_us(after, golden[:1])
            training = training.model_copy(update={"latency_us": latency})
        confidence = confidence_of(
            course,
            card.training.recipe,
            OnnxSession(work / MODEL, "cpu"),
            data,
            familiar,
            seed=card.training.seed,
            epochs=epochs,
        )
        renewed = Card.model_validate(
            card.model_dump()
            | {
                "training": training.model_dump(),
                "confidence": confidence.model_dump(),
                "contract": course.task.contract.model_dump(),
                "contract_hash": course.task.contract.hash,
                "files": {file: sha256(work / file) for file in card.files},
                "limits": course.limits,
            }
        )
        (work / CARD).write_text(renewed.text(), encoding="utf-8")
        for file in (MODEL, GOLDEN, SIGNATURE, CARD):
            (work / file).replace(artifact.folder / file)
        return renewed
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _recipe_of(card: Card, course: Course) -> Recipe:
    if (name := card.training.recipe) not in course.recipes:
        raise ArtifactError(f"{card.name}/{card.version}: {course.no_recipe(name)}")
    return course.recipes[name]


def _asked(card: Card, course: Course, recipe: Recipe) -> int:
    """For how many epochs networks are fitted again as this one was, of a task that does so."""
    facts = card.training
    if facts.asked is not None:
        return facts.asked
    stopped = recipe.patience is not None and facts.epochs < recipe.epochs
    if course.folds and facts.epochs != recipe.epochs and not stopped:
        raise ArtifactError(
            f"{card.name}/{card.version} was fitted for {facts.epochs} epochs, its recipe says "
            f"{recipe.epochs}, and the card not how many were asked for; train it anew"
        )
    return recipe.epochs


def check_unchanged(before: OnnxSession, after: OnnxSession, inputs: NDArray[Any]) -> None:
    """Raises ArtifactError unless one graph answers as the other did, to the last bit."""
    new = after.run(inputs)
    for name, old in before.run(inputs).items():
        if name != OOD_SCORE and not np.array_equal(new[name], old):
            raise ArtifactError(f"output {name!r} is no longer what it was before")
