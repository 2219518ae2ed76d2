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

from service.contract.task import Task
from service.models.artifacts.artifact import GOLDEN, MODEL
from service.models.runtime.session import OnnxSession
from training.data.datasets import ImageData, TabularData

ORDINARY = 32
TOLERANCE = 1e-5
TOLERANCE_REASON = (
    "float32 has 24 bits of mantissa (6e-8); sums over up to 3,136 products in another order "
    "differ by a few 1e-7 in a probability, so 1e-5 leaves room for every processor and still "
    "catches any change of preprocessing or weights"
)


def golden_inputs(task: Task, synthetic: TabularData | ImageData) -> NDArray[Any]:
    """Make N >= 32 inputs of a task's graph: float32[N, F] or uint8[N, height, width]."""
    ordinary = synthetic.inputs[:ORDINARY]
    return np.concatenate([ordinary, task.corner_inputs(ordinary[0])])


def write_golden(
    task: Task, inputs: NDArray[Any], answers: Mapping[str, NDArray[Any]], folder: Path
) -> None:
    """Write golden.npz and compare it with ONNX Runtime's answers: in bulk, singly, at odd sizes.

    Raises ArtifactError if the folder's graph answers differently.
    """
    arrays: dict[str, Any] = {"input": inputs, **answers}
    np.savez_compressed(folder / GOLDEN, **arrays)
    session = OnnxSession(folder / MODEL, "cpu")
    session.check_signature(task.contract)
    session.check_golden(inputs, dict(answers), TOLERANCE)
