"""A version on disk: models/<name>/<version>/ with one ONNX file, its card and its proof.

This module only writes. `training/train.py` computes what is written, by conversion, evaluation and
confidence in turn.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime as ort

from service.contract.uncertainty import Confidence
from service.models.artifacts.artifact import BACKGROUND, CARD, GOLDEN, MODEL, SIGNATURE, sha256
from service.models.artifacts.card import Card, Curves, DataFacts, GoldenFacts, TrainingFacts
from service.models.artifacts.folder import list_versions
from training.artifacts.background import compute_background, write_background
from training.artifacts.golden import TOLERANCE, TOLERANCE_REASON, write_golden
from training.artifacts.graph import OPSET, write_graph
from training.export.via_tensorflow import OnnxExport
from training.fitting.fit import Fitted
from training.recipe import DataSplits, TaskTraining

THRESHOLD = 0.5
"""The probability from which an exported model decides yes."""
LIBRARIES = {module.__name__: module.__version__ for module in (ort, np)}
"""The versions of the libraries that prove an exported graph."""


@dataclass(frozen=True)
class Findings:
    """Measurements of a written graph, for its card."""

    metrics: dict[str, float]
    curves: Curves
    confidence: Confidence
    latency_us: float


@contextmanager
def staged_version(models_dir: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder to write a version of `name` into; remove it unless it is published."""
    parent = models_dir / name
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_files(
    folder: Path, training: TaskTraining, exported: OnnxExport, data: DataSplits
) -> None:
    """Write a version's files except its card: graph, signature, golden answers, background.

    Raises ArtifactError unless ONNX Runtime repeats the golden answers.
    """
    write_graph(exported.graph, folder)
    write_golden(training.task, exported.inputs, exported.answers, folder)
    if features := training.task.contract.features:
        write_background(compute_background(data.train.inputs, features), folder)


def publish_version(
    folder: Path,
    training: TaskTraining,
    recipe: str,
    fitted: Fitted,
    exported: OnnxExport,
    data: DataSplits,
    findings: Findings,
) -> Path:
    """Write the card of a staged version, rename its folder to the next number and return that."""
    parent = folder.parent
    files = [MODEL, GOLDEN, SIGNATURE]
    if training.task.contract.features:
        files.append(BACKGROUND)
    facts = {
        "name": parent.name,
        "title": training.task.title,
        "task": training.task.name,
        "created": datetime.now(UTC).replace(microsecond=0),
        "data": _data_facts(data),
        "training": _training_facts(recipe, fitted, exported.libraries, findings.latency_us),
        "metrics": findings.metrics,
        "curves": findings.curves,
        "threshold": THRESHOLD,
        "confidence": findings.confidence,
        "contract": training.task.contract,
        "contract_hash": training.task.contract.hash,
        "opset": OPSET,
        "golden": GoldenFacts(
            rows=len(exported.inputs), tolerance=TOLERANCE, reason=TOLERANCE_REASON
        ),
        "files": {file: sha256(folder / file) for file in files},
        "licence": f"the model Apache-2.0; trained on data under {data.source.licence}",
        "intended_use": training.intended_use,
        "limits": training.limits,
    }
    folder.chmod(0o755)
    while True:
        number = int((list_versions(parent.parent, parent.name) or ["0"])[-1]) + 1
        card = Card.model_validate(facts | {"version": str(number)})
        (folder / CARD).write_text(card.text(), encoding="utf-8")
        try:
            return folder.rename(parent / str(number))
        except OSError:
            # Another process published this number meanwhile: take the next one.
            if not (parent / str(number)).exists():
                raise


def _data_facts(data: DataSplits) -> DataFacts:
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return DataFacts(
        name=data.source.title,
        home=data.source.home,
        licence=data.source.licence,
        citation=data.source.citation,
        fingerprint=data.fingerprint,
        published=data.published,
        split=data.split,
        rows={name: len(split.labels) for name, split in splits.items()},
    )


def _training_facts(
    recipe: str, fitted: Fitted, libraries: Mapping[str, str], latency_us: float
) -> TrainingFacts:
    return TrainingFacts(
        recipe=recipe,
        parameters=fitted.parameters,
        seed=fitted.seed,
        requested_epochs=fitted.requested_epochs,
        epochs=fitted.epochs,
        seconds=round(fitted.seconds, 1),
        device=fitted.device,
        backend=fitted.backend,
        libraries={**libraries, **LIBRARIES, fitted.backend: fitted.backend_version},
        latency_us=latency_us,
        history={
            name: [float(f"{value:.6g}") for value in values]
            for name, values in fitted.history.items()
        },
    )
