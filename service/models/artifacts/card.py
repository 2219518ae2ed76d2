"""card.json: what is known of one version of a model."""

import re
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from service.contract.signature import Contract
from service.contract.uncertainty import Confidence


class DataFacts(BaseModel):
    """What a model learned from, and how that was split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    home: str
    licence: str
    citation: str
    fingerprint: str
    published: bool
    """Whether the content is the published data set (else: synthetic, or changed)."""
    split: str
    """The protocol, in words that suffice to repeat it."""
    rows: dict[str, int]
    """Rows of each part: train, validation, test."""


class TrainingFacts(BaseModel):
    """How the network was fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    parameters: int
    seed: int
    requested_epochs: int | None = None
    """Epochs asked for; early stopping may have ended sooner. Older versions do not know."""
    epochs: int
    """Epochs run."""
    seconds: float
    device: str
    backend: str = "tensorflow"
    """What Keras computed with; its version is among the libraries."""
    libraries: dict[str, str]
    latency_us: float
    """Microseconds for one row: the median of single runs of ONNX Runtime, one thread, on the CPU
    of the machine that trained, measured when the model was exported."""
    history: dict[str, list[float]]
    """Of each epoch: `loss` and `accuracy`; `val_loss` and `val_accuracy` where a validation part
    was kept apart. To six digits."""


class Bin(BaseModel):
    """Rows whose probability falls into one of some intervals of equal width."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    probability: float
    """The mean of those answered."""
    share: float
    """Of rows that are what the probability is about."""
    rows: int


class Curves(BaseModel):
    """How the exported graph did on the test part, to be drawn without the data: sums, no rows.

    The last three are of yes-or-no answers only, and empty for pictures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    confusion: list[list[int]]
    """Test rows: a line for each true class, a column for each class answered."""
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
    """How closely a runtime has to repeat what Keras answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    tolerance: float
    reason: str
    """Why this tolerance."""


class Card(BaseModel):
    """card.json: everything worth knowing about one version of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    title: str
    task: str
    created: datetime
    data: DataFacts
    training: TrainingFacts
    metrics: dict[str, float]
    """Measured on the test part, on the exported graph, once."""
    curves: Curves
    threshold: float
    """Probability from which a decision is true."""
    confidence: Confidence | None = None
    """How far its answers are to be trusted; older versions do not know."""
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
        """The content of card.json: indented, a list of numbers on one line."""
        # JSON has no line break inside a string, so that only lists are matched.
        text = self.model_dump_json(indent=2)
        return re.sub(r"\[\n[-+.\deE,\s]+\]", _on_one_line, text) + "\n"


def _on_one_line(numbers: re.Match[str]) -> str:
    return "[" + " ".join(numbers[0].strip("[] \n").split()) + "]"
