"""The two kinds of task that Foretell serves; a file in `service/tasks/` declares one of them.

A request passes `payload -> array -> predictor -> answer`; a task knows the first and last step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.contract import Contract, Feature, Payload, Tensor
from service.errors import InvalidOutput
from service.explanation.wording import Factor, Wording, factors_of, parts_of

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Outputs = dict[str, NDArray[np.generic]]


class ModelRef(BaseModel):
    """Which model gave an answer."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["heart"])
    version: str = Field(examples=["1"])


class TabularPrediction(BaseModel):
    """What every yes-or-no answer about a row says; a task adds the decision under its own name."""

    model_config = ConfigDict(frozen=True)

    probability: Probability = Field(examples=[0.83])
    threshold: Probability = Field(
        description="The decision is true from this probability upwards", examples=[0.5]
    )
    model: ModelRef


class ImagePrediction(BaseModel):
    """What every answer about a picture says; a task adds the class under its own name."""

    model_config = ConfigDict(frozen=True)

    probability: Probability = Field(description="Of the answer given", examples=[0.998])
    probabilities: list[Probability] = Field(description="Of every class, in order; they sum to 1")
    model: ModelRef


@dataclass(frozen=True)
class TabularTask:
    """Rows of declared fields in, one probability and one decision a row out.

    `decision` names the boolean field of `prediction` that says whether the probability reaches the
    threshold of the model's card. `wording` is for explanations.
    """

    name: str
    title: str
    payload: type[Payload]
    prediction: type[TabularPrediction]
    decision: str
    wording: Wording = field(default_factory=Wording)

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the network's input, in the order in which the payload declares them."""
        return tuple(Feature.of(name, f) for name, f in self.payload.model_fields.items())

    @cached_property
    def contract(self) -> Contract:
        """`features` float32[N, F] in (NaN = not recorded), `probability` float32[N] out."""
        return Contract(
            task=self.name,
            input=Tensor(name="features", dtype="float32", shape=(None, len(self.features))),
            outputs=(Tensor(name="probability", dtype="float32", shape=(None,)),),
            features=self.features,
        )

    @cached_property
    def parts(self) -> dict[str, Factor]:
        """Each field as a factor of its own, under the title that its payload describes it by."""
        titles = {name: f.description or name for name, f in self.payload.model_fields.items()}
        return parts_of(self.features, titles, self.wording)

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """What explanations share an answer out to; every field is in one."""
        return factors_of(self.parts, self.wording)

    def to_array(self, rows: Sequence[Payload]) -> NDArray[np.float32]:
        """Validated payloads as float32[N, F] in declared order; not recorded becomes NaN."""
        return np.array([self.values(row) for row in rows], np.float32)

    def values(self, row: Payload) -> tuple[float | None, ...]:
        """A validated payload in declared order; not recorded is None."""
        values = self._in_order(row)
        for place in self._zero_is_missing:
            if values[place] == 0:
                values = (*values[:place], None, *values[place + 1 :])
        return values

    @cached_property
    def _in_order(self) -> Callable[[Payload], tuple[float | None, ...]]:
        return attrgetter(*self.payload.model_fields)

    @cached_property
    def _zero_is_missing(self) -> list[int]:
        return [place for place, feature in enumerate(self.features) if feature.zero_is_missing]

    def answers(
        self, outputs: Outputs, model: ModelRef, threshold: float
    ) -> Sequence[TabularPrediction]:
        """One prediction a row. Raises InvalidOutput unless every probability is in 0..1."""
        return [
            self.prediction.model_validate(
                {
                    "probability": probability,
                    self.decision: probability >= threshold,
                    "threshold": threshold,
                    "model": model,
                }
            )
            for probability in _checked(outputs["probability"].tolist())
        ]

    def writer(self, model: ModelRef, threshold: float) -> Callable[[Outputs], bytes]:
        """A function from the outputs of one row to the JSON of its prediction.

        Two values change from one row to the next; the rest is written once. The function raises
        InvalidOutput as `answers` does.
        """
        rest = f',"threshold":{threshold!r},"model":{model.model_dump_json()},"{self.decision}":'
        yes, no = (f"{rest}{word}}}".encode() for word in ("true", "false"))

        def write(outputs: Outputs) -> bytes:
            (probability,) = _checked(outputs["probability"].tolist())
            return b'{"probability":%a%b' % (probability, yes if probability >= threshold else no)

        return write


class ReadPicture(Protocol):
    """Turns one encoded picture into what the network was trained on. Raises PictureError."""

    def __call__(self, encoded: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
        """Encoded bytes to uint8[28, 28]."""


@dataclass(frozen=True)
class ImageTask:
    """A picture in, one of `labels` out.

    `read` turns an encoded picture into uint8[28, 28] (the only preprocessing outside the graph);
    `answer` names the graph's int64 output and the field of `prediction` that carries the class.
    """

    name: str
    title: str
    prediction: type[ImagePrediction]
    answer: str
    labels: tuple[str, ...]
    read: ReadPicture
    to_label: Callable[[int], object] = int

    @cached_property
    def contract(self) -> Contract:
        """`image` uint8[N, 28, 28] in; `probabilities` float32[N, K] and the class int64[N] out."""
        return Contract(
            task=self.name,
            input=Tensor(name="image", dtype="uint8", shape=(None, 28, 28)),
            outputs=(
                Tensor(name="probabilities", dtype="float32", shape=(None, len(self.labels))),
                Tensor(name=self.answer, dtype="int64", shape=(None,)),
            ),
            labels=self.labels,
        )

    def answers(
        self, outputs: Outputs, model: ModelRef, threshold: float
    ) -> Sequence[ImagePrediction]:
        """One prediction a picture, the likeliest class whatever the threshold.

        Raises InvalidOutput unless every probability is in 0..1.
        """
        table = [_checked(probabilities) for probabilities in outputs["probabilities"].tolist()]
        chosen = outputs[self.answer].tolist()
        return [
            self.prediction.model_validate(
                {
                    self.answer: self.to_label(index),
                    "probability": probabilities[index],
                    "probabilities": probabilities,
                    "model": model,
                }
            )
            for probabilities, index in zip(table, chosen, strict=True)
        ]


Task = TabularTask | ImageTask


ROUNDING = 1e-6
"""By how much a softmax in float32 may exceed 1."""


def _checked(probabilities: list[float]) -> list[float]:
    # NaN fails both comparisons. Plain Python, which for a few numbers is several times quicker
    # than NumPy.
    for value in probabilities:
        if not 0 <= value <= 1 + ROUNDING:
            raise InvalidOutput("the model answered a value that is not a probability in 0..1")
    return [min(value, 1.0) for value in probabilities]
