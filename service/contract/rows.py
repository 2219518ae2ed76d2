"""Tasks of rows: declared fields in, one answer a row out; the base of every kind of them."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.contract.answers import ModelRef
from service.contract.fields import Feature, Payload
from service.contract.signature import Contract, Outputs, Tensor
from service.contract.tables import FieldNames, TableConventions
from service.contract.task import Task
from service.contract.uncertainty import Confidence, RangeCheck


@dataclass(frozen=True)
class AnswerColumn:
    """One column that scoring adds to a table.

    Without `choices` it is a number, float64[N]; with them an array of places in `choices`, [N],
    which of false and true is the boolean itself. `example` is one value, for /docs.
    """

    name: str
    example: Any
    choices: tuple[str, ...] | tuple[bool, bool] = ()


Columns = tuple[NDArray[Any], ...]
"""The values of all answer columns of N rows, in the order of the columns."""


@dataclass(frozen=True)
class RowTask(Task):
    """Rows of declared fields in; a subclass says what comes out.

    It has to give `outputs`, the columns of an answer and what is in them; `prediction` has a field
    for each column, and `model`. `tables` says how the files that exist write such rows.
    """

    payload: type[Payload]
    tables: TableConventions = field(default_factory=TableConventions, kw_only=True)

    @property
    @abstractmethod
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors that the task's graphs give."""

    @abstractmethod
    def answer_columns(self, confidence: bool) -> tuple[AnswerColumn, ...]:
        """Return the columns of an answer; with `confidence`, those that a card's adds as well."""

    @abstractmethod
    def column_writer(
        self, threshold: float, confidence: Confidence | None = None
    ) -> Callable[[Outputs, NDArray[np.float32]], Columns]:
        """Return a function from outputs of N rows, and the rows, to the columns of the answers.

        The function raises InvalidOutput.
        """

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the network's input, in the order in which the payload declares them."""
        return tuple(Feature.of(name, f) for name, f in self.payload.model_fields.items())

    @cached_property
    def field_names(self) -> FieldNames:
        """The names under which columns are known as fields."""
        descriptions = {n: f.description or "" for n, f in self.payload.model_fields.items()}
        return FieldNames(self.features, descriptions, self.tables)

    @cached_property
    def contract(self) -> Contract:
        """`features` float32[N, F] in (NaN = not recorded), `outputs` out."""
        return Contract(
            task=self.name,
            input=Tensor(name="features", dtype="float32", shape=(None, len(self.features))),
            outputs=self.outputs,
            features=self.features,
        )

    def to_array(self, rows: Sequence[Payload]) -> NDArray[np.float32]:
        """Return validated payloads as float32[N, F] in declared order; not recorded is NaN."""
        return np.array([self.values(row) for row in rows], np.float32)

    def values(self, row: Payload) -> tuple[float | None, ...]:
        """Return a validated payload in declared order; not recorded is None."""
        values = self._in_order(row)
        for place in self._zero_is_missing:
            if values[place] == 0:
                values = (*values[:place], None, *values[place + 1 :])
        return values

    @cached_property
    def _in_order(self) -> Callable[[Payload], tuple[float | None, ...]]:
        names = list(self.payload.model_fields)
        if len(names) == 1:  # of one name, attrgetter gives no tuple
            return lambda row: (getattr(row, names[0]),)
        return attrgetter(*names)

    @cached_property
    def _zero_is_missing(self) -> list[int]:
        return [place for place, feature in enumerate(self.features) if feature.zero_is_missing]

    def range_check(self, confidence: Confidence) -> RangeCheck:
        """Return the check for fields that lie outside the range of the training rows."""
        return RangeCheck(self.features, confidence.training_ranges)

    def answers(
        self,
        outputs: Outputs,
        batch: NDArray[np.float32],
        model: ModelRef,
        threshold: float,
        confidence: Confidence | None = None,
    ) -> Sequence[BaseModel]:
        """Return one prediction for each row of `batch`, float32[N, F]: its columns, and the model.

        `threshold` and `confidence` are those of the model's card. Raises InvalidOutput.
        """
        columns = self.answer_columns(confidence is not None)
        values = [
            [column.choices[place] for place in array] if column.choices else array.tolist()
            for column, array in zip(
                columns, self.column_writer(threshold, confidence)(outputs, batch), strict=True
            )
        ]
        names = [column.name for column in columns]
        return [
            self.prediction.model_validate({**dict(zip(names, row, strict=True)), "model": model})
            for row in zip(*values, strict=True)
        ]

    def corner_inputs(self, ordinary: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[M, F]: each lowest value, each highest, and optional fields missing.

        `ordinary`, float32[F], has all of its optional fields missing, then one at a time.
        """
        values = [sorted(f.codes) if f.codes else [f.low, f.high] for f in self.features]
        lowest, highest = [v[0] for v in values], [v[-1] for v in values]
        optional = np.array([not f.required for f in self.features])
        one_missing = [
            np.where(np.arange(len(self.features)) == index, np.nan, ordinary)
            for index in np.flatnonzero(optional)
        ]
        rows = [lowest, highest, np.where(optional, np.nan, ordinary), *one_missing]
        return np.array(rows, np.float32)
