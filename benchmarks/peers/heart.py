"""The code common to all peers: the row as their users would type it, and an ONNX Runtime session.

With it the peers differ only in the framework. Their servers run in virtual environments of their
own, in which Foretell is not installed.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, Field

MODEL = Path(__file__).parents[2] / "models" / "heart" / "1" / "model.onnx"


class Patient(BaseModel):
    """A row with the fields of Foretell's own payload, in its order (a test compares them)."""

    age: float = Field(ge=18, le=120)
    sex: Literal[0, 1]
    cp: Literal[1, 2, 3, 4] | None = None
    trestbps: float | None = Field(None, ge=0, le=300)
    chol: float | None = Field(None, ge=0, le=1000)
    fbs: Literal[0, 1] | None = None
    restecg: Literal[0, 1, 2] | None = None
    thalach: float | None = Field(None, ge=40, le=250)
    exang: Literal[0, 1] | None = None
    oldpeak: float | None = Field(None, ge=-10, le=10)
    slope: Literal[1, 2, 3] | None = None
    ca: Literal[0, 1, 2, 3] | None = None
    thal: Literal[3, 6, 7] | None = None


def features(patient: Patient) -> NDArray[np.float32]:
    """Return a patient as float32[1, 13], NaN where nothing was recorded."""
    return np.array([list(patient.__dict__.values())], np.float32)


class Heart:
    """The committed model on one thread, as Foretell runs it."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

    def probabilities(self, rows: NDArray[np.float32]) -> list[float]:
        """Return N probabilities for float32[N, 13] rows."""
        outputs: list[NDArray[np.float32]] = self._session.run(["probability"], {"features": rows})
        return [float(value) for value in outputs[0]]

    def probability(self, patient: Patient) -> float:
        """Return the probability of one patient."""
        return self.probabilities(features(patient))[0]
