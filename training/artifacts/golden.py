"""Golden inputs and answers, which prove that a graph answers as the fitted network did.

The inputs are made up, never from the data, so that they can be published with a model. Half look
like real rows (training/data/synthetic.py), the rest are corners of the contract: every lowest and
highest value, everything optional missing, one optional field missing at a time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.contract.fields import Feature
from service.contract.task import TabularTask, Task
from service.models.artifacts.artifact import GOLDEN, MODEL
from service.models.runtime.session import Predictor
from training.data.datasets import ImageData, TabularData

ORDINARY = 32
TOLERANCE = 1e-5
TOLERANCE_REASON = (
    "float32 has 24 bits of mantissa (6e-8); sums over up to 3,136 products in another order "
    "differ by a few 1e-7 in a probability, so 1e-5 leaves room for every processor and still "
    "catches any change of preprocessing or weights"
)


def golden_inputs(task: Task, synthetic: TabularData | ImageData) -> NDArray[Any]:
    """Make inputs of a task's graph: float32[N, F] or uint8[N, 28, 28], N at least 32."""
    if isinstance(task, TabularTask):
        assert isinstance(synthetic, TabularData)
        ordinary = synthetic.features.to_numpy(np.float32)[:ORDINARY]
        return np.concatenate([ordinary, _corners(task.features, ordinary[0])])
    assert isinstance(synthetic, ImageData)
    return np.concatenate([synthetic.test_images[:ORDINARY], _extreme_pictures()])


def _corners(features: tuple[Feature, ...], ordinary: NDArray[np.float32]) -> NDArray[np.float32]:
    values = [sorted(f.codes) if f.codes else [f.low, f.high] for f in features]
    lowest, highest = [v[0] for v in values], [v[-1] for v in values]
    optional = np.array([not f.required for f in features])
    one_missing = [
        np.where(np.arange(len(features)) == index, np.nan, ordinary)
        for index in np.flatnonzero(optional)
    ]
    rows = [lowest, highest, np.where(optional, np.nan, ordinary), *one_missing]
    return np.array(rows, np.float32)


def _extreme_pictures() -> NDArray[np.uint8]:
    black = np.zeros((28, 28), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    return np.stack([black, 255 - black, *noise])


def write_golden(
    task: Task, inputs: NDArray[Any], answers: Mapping[str, NDArray[Any]], folder: Path
) -> None:
    """Write golden.npz and compare it with ONNX Runtime's answers: in bulk, singly, at odd sizes.

    Raises ArtifactError if the folder's graph answers differently.
    """
    arrays: dict[str, Any] = {"input": inputs, **answers}
    np.savez_compressed(folder / GOLDEN, **arrays)
    predictor = Predictor(folder / MODEL, "cpu")
    predictor.check_signature(task.contract)
    predictor.check_golden(inputs, dict(answers), TOLERANCE)
