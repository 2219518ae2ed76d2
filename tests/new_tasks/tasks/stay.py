"""Length of stay: one admission to a hospital in, the expected number of days out.

A regression: the kind of task, `NumberTask`, is declared here as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.contract.answers import ModelRef
from service.contract.fields import Code, Number, Payload
from service.contract.rows import AnswerColumn, Columns, RowTask
from service.contract.signature import Outputs, Tensor
from service.contract.uncertainty import Confidence
from service.errors import InvalidOutput


@dataclass(frozen=True)
class NumberTask(RowTask):
    """Rows of declared fields in, one number a row out.

    `answer` names the graph's output, the field of `prediction` and the column of a table. Two
    models agree where their numbers round to the same multiple of `step`.
    """

    answer: str
    step: float
    output_noun: ClassVar[str] = "finite number"
    output_range: ClassVar[str] = ""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The number, float32[N]."""
        return (Tensor(name=self.answer, dtype="float32", shape=(None,)),)

    def answer_columns(self, confidence: bool) -> tuple[AnswerColumn, ...]:
        """Return the number alone."""
        return (AnswerColumn(self.answer, 4.5),)

    def column_writer(
        self, threshold: float, confidence: Confidence | None = None
    ) -> Callable[[Outputs, NDArray[np.float32]], Columns]:
        """Return a function from outputs to the numbers, float64[N], which are finite."""

        def columns(outputs: Outputs, rows: NDArray[np.float32]) -> Columns:
            numbers = outputs[self.answer].astype(np.float64)
            if not np.isfinite(numbers).all():
                raise InvalidOutput("the model answered a number that is not finite")
            return (numbers,)

        return columns

    def decide(self, outputs: Outputs, threshold: float) -> NDArray[np.float64]:
        """Return the numbers in steps, float64[N]."""
        return np.rint(outputs[self.answer].astype(np.float64) / self.step)

    def graph_outputs(self, answer: Any, ops: Any) -> dict[str, Any]:
        """Return the number, [N], of a network's answer [N, 1]."""
        return {self.answer: ops.reshape(answer, [-1])}

    def invalid_row(self, output: NDArray[Any]) -> int | None:
        """Return the first row whose number is not finite, or None."""
        rows = np.flatnonzero(~np.isfinite(output))
        return int(rows[0]) if len(rows) else None


class Admission(Payload):
    """One admission. What was not recorded is null or left out."""

    model_config = ConfigDict(json_schema_extra={"example": {"age": 71, "ward": 2, "fever": 38.5}})

    age: Annotated[float, Number("years", 0, 120)] = Field(description="Age")
    ward: Annotated[int, Code({1: "surgery", 2: "medicine"})] = Field(description="Ward")
    fever: Annotated[float, Number("°C", 30, 45)] | None = Field(None, description="Temperature")


class StayPrediction(BaseModel):
    """A number of days to plan beds with."""

    model_config = ConfigDict(frozen=True)

    days: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="Expected length of stay",
        examples=[4.5],
        json_schema_extra={"unit": "days"},
    )
    model: ModelRef


TASK = NumberTask(
    name="stay",
    title="Length of stay",
    payload=Admission,
    prediction=StayPrediction,
    answer="days",
    step=0.5,
)
