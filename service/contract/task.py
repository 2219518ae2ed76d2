"""A kind of task: what service and training ask of every task, whatever goes in and comes out.

A request passes `payload -> array -> graph -> outputs -> answer`; a task knows the first step and
the last. A kind is a subclass: `RowTask` (`rows.py`) with `TabularTask`, and `ImageTask`. A file in
`service/tasks/` declares one task of a kind, and may bring a kind of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.contract.answers import ModelRef
from service.contract.probability import invalid_row
from service.contract.signature import Contract, Outputs
from service.contract.uncertainty import Confidence


@dataclass(frozen=True)
class Task(ABC):
    """One use of Foretell: a contract, and how what its graphs compute becomes answers.

    `prediction` is the model of one answer. Graphs take N rows, `contract.input`, and give
    `contract.outputs`; the first output is the one that shadows and training compare.
    """

    name: str
    title: str
    prediction: type[BaseModel]

    has_threshold: ClassVar[bool] = False
    """True if answers depend on the threshold of a model's card."""
    output_noun: ClassVar[str] = "probability"
    """The word for a value of the graph's float outputs, in messages."""
    output_range: ClassVar[str] = " in 0..1"
    """The range of such a value, in messages."""

    @property
    @abstractmethod
    def contract(self) -> Contract:
        """The tensors of the task's graphs; the hash over them is on every card."""

    @abstractmethod
    def answers(
        self,
        outputs: Outputs,
        batch: NDArray[Any],
        model: ModelRef,
        threshold: float,
        confidence: Confidence | None = None,
    ) -> Sequence[BaseModel]:
        """Return one prediction for each row of `batch`, of which a graph made `outputs`.

        `threshold` and `confidence` are those of the model's card. Raises InvalidOutput.
        """

    @abstractmethod
    def decide(self, outputs: Outputs, threshold: float) -> NDArray[Any]:
        """Return what each answer decides, [N]: two models agree on a row where this is equal."""

    @abstractmethod
    def corner_inputs(self, ordinary: NDArray[Any]) -> NDArray[Any]:
        """Return inputs at the edges of the contract, for golden files; `ordinary` is one row."""

    @abstractmethod
    def graph_outputs(self, answer: Any, ops: Any) -> dict[str, Any]:
        """Return the graph's outputs by name, of what a network answers to N rows.

        `ops` is NumPy or TensorFlow, whichever `answer` is of.
        """

    def invalid_row(self, output: NDArray[Any]) -> int | None:
        """Return the first row of a float output that is no answer, or None if there is none."""
        return invalid_row(output)

    def writer(
        self, model: ModelRef, threshold: float, confidence: Confidence | None = None
    ) -> Callable[[Outputs, Any], bytes]:
        """Return a function from the outputs of one row, and the row, to its prediction's JSON.

        The function raises InvalidOutput, as `answers` does.
        """
        dtype = self.contract.input.dtype

        def write(outputs: Outputs, row: Any) -> bytes:
            batch = np.array([row], dtype)
            (answer,) = self.answers(outputs, batch, model, threshold, confidence)
            return answer.model_dump_json().encode()

        return write
