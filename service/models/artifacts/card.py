"""The model card, card.json: data, training, metrics and limits of one version of a model."""

import re
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from service.contract.signature import Contract
from service.contract.uncertainty import Confidence


class DataFacts(BaseModel):
    """The data that a model was trained on, and how they were split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    home: str
    licence: str
    citation: str
    fingerprint: str
    published: bool
    """True of the published data set, false of synthetic or changed data."""
    split: str
    """The protocol of the split, in words that suffice to repeat it."""
    rows: dict[str, int]
    """Rows of each part: train, validation, test."""


class TrainingFacts(BaseModel):
    """The training run of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    parameters: int
    seed: int
    requested_epochs: int | None = None
    """Epochs requested; early stopping may have ended sooner. None in older cards."""
    epochs: int
    """Epochs run."""
    seconds: float
    device: str
    backend: str = "tensorflow"
    """Keras' backend; its version is among the libraries."""
    libraries: dict[str, str]
    latency_us: float
    """Microseconds for one row: the median of single runs of ONNX Runtime, one thread, on the CPU
    of the machine that trained, measured when the model was exported."""
    history: dict[str, list[float]]
    """A value for each epoch, to six digits: `loss` and `accuracy`; also `val_loss` and
    `val_accuracy` where there was a validation part."""


class Bin(BaseModel):
    """One interval of a calibration curve: the rows whose probability lies in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    probability: float
    """Mean of the answered probabilities."""
    share: float
    """Share of the rows for which the answer is true."""
    rows: int


class Curves(BaseModel):
    """The exported graph's results on the test part, to be drawn without the data: sums, no rows.

    The last three are of yes-or-no answers only, and empty for pictures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confusion: list[list[int]]
    """Test rows: a row for each true class, a column for each answered class."""
    calibration: list[Bin]
    """15 intervals of the probability of yes, or of a picture's answer; empty ones are left out."""
    roc: list[tuple[float, float]] = []
    """False and true positive rate, from (0, 0) to (1, 1); at most 100 points of the curve."""
    precision_recall: list[tuple[float, float]] = []
    """Recall and precision, from all flagged to none; at most 100 points of the curve."""
    scores: list[list[int]] = []
    """Test rows of class 0, then of class 1, by their probability in 20 intervals of .05, each with
    its lower end in it: enough to count what any threshold in steps of .05 would flag."""


class GoldenFacts(BaseModel):
    """The distance to Keras' answers that is tolerated of a runtime."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    tolerance: float
    reason: str
    """Reason for this tolerance."""


class Card(BaseModel):
    """The model card of one version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    title: str
    task: str
    created: datetime
    data: DataFacts
    training: TrainingFacts
    metrics: dict[str, float]
    """Metrics of the exported graph on the test part, measured once."""
    curves: Curves
    threshold: float
    """Probability from which a decision is true."""
    confidence: Confidence | None = None
    """Conformal sets, training ranges and in-distribution threshold; None in older cards."""
    contract: Contract
    contract_hash: str
    opset: int
    golden: GoldenFacts
    files: dict[str, str]
    """sha256 of each other file of the artifact."""
    licence: str
    intended_use: str
    limits: str

    def text(self) -> str:
        """Return the content of card.json: indented, a list of numbers on one line."""
        # JSON has no line break inside a string, so that only lists are matched.
        text = self.model_dump_json(indent=2)
        return re.sub(r"\[\n[-+.\deE,\s]+\]", _on_one_line, text) + "\n"


def _on_one_line(numbers: re.Match[str]) -> str:
    return "[" + " ".join(numbers[0].strip("[] \n").split()) + "]"
