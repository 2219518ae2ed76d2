"""A task of rows: declared fields in, one probability and one decision a row out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from service.contract.answers import CERTAINTIES, ModelRef, TabularPrediction
from service.contract.fields import Feature, Payload
from service.contract.probability import check_probabilities
from service.contract.signature import Contract, Outputs, Tensor, Values
from service.contract.uncertainty import Confidence, RangeCheck
from service.contract.wording import FeatureGroup, Wording, feature_groups_of, single_field_groups

YES, NO = b"true", b"false"


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
    def parts(self) -> dict[str, FeatureGroup]:
        """Each field as a factor of its own, under the title that its payload describes it by."""
        titles = {name: f.description or name for name, f in self.payload.model_fields.items()}
        return single_field_groups(self.features, titles, self.wording)

    @cached_property
    def feature_groups(self) -> tuple[FeatureGroup, ...]:
        """What explanations share an answer out to; every field is in one."""
        return feature_groups_of(self.parts, self.wording)

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
        self,
        outputs: Outputs,
        rows: NDArray[np.float32],
        model: ModelRef,
        threshold: float,
        confidence: Confidence | None = None,
    ) -> Sequence[TabularPrediction]:
        """One prediction for each of `rows`, float32[N, F], of which the graph made `outputs`.

        `confidence` is that of the model's card. Raises InvalidOutput unless every probability is
        in 0..1.
        """
        write = self.writer(model, threshold, confidence)
        return [
            self.prediction.model_validate_json(
                write({"probability": outputs["probability"][place : place + 1]}, values)
            )
            for place, values in enumerate(_recorded(rows))
        ]

    def range_check(self, confidence: Confidence) -> RangeCheck:
        """What tells fields that lie outside what training saw."""
        return RangeCheck(self.features, confidence.seen)

    def writer(
        self, model: ModelRef, threshold: float, confidence: Confidence | None = None
    ) -> Callable[[Outputs, Values], bytes]:
        """A function from the outputs of one row, and its values, to the JSON of its prediction.

        Two values change from one row to the next, and what is said of confidence; the rest is
        written once. The function raises InvalidOutput as `answers` does.
        """
        rest = f',"threshold":{threshold!r},"model":{model.model_dump_json()}'

        def ending(certainty: str, familiar: str, warnings: bytes, yes: bool) -> bytes:
            text = f'{rest},"certainty":{certainty},"in_distribution":{familiar},"warnings":'
            return text.encode() + warnings + b',"%b":%b}' % (decision, YES if yes else NO)

        decision = self.decision.encode()
        if confidence is None:
            no, yes = (ending("null", "null", b"[]", each) for each in (False, True))

            def write_plain(outputs: Outputs, _: Values) -> bytes:
                (probability,) = check_probabilities(outputs["probability"].tolist())
                return b'{"probability":%a%b' % (
                    probability,
                    yes if probability >= threshold else no,
                )

            return write_plain

        ranges, cutoff = self.range_check(confidence), confidence.sets.cutoff
        usual = [
            [ending(f'"{certainty}"', "true", b"[]", each) for certainty in CERTAINTIES]
            for each in (False, True)
        ]

        def write(outputs: Outputs, values: Values) -> bytes:
            (probability,) = check_probabilities(outputs["probability"].tolist())
            yes = probability >= threshold
            # As `Sets.decided`, which for one number costs fifty times as much.
            decided = (probability >= cutoff) is not (1 - probability >= cutoff)
            if strange := ranges.out_of_range(values):
                warnings = [ranges.warning(place, values[place] or 0.0) for place in strange]
                end = ending(f'"{CERTAINTIES[decided]}"', "false", to_json(warnings), yes)
                return b'{"probability":%a%b' % (probability, end)
            return b'{"probability":%a%b' % (probability, usual[yes][decided])

        return write


def _recorded(rows: NDArray[np.float32]) -> list[list[float | None]]:
    # The shortest text of a float32 is the number that was sent: 0.2, not 0.20000000298.
    return [[None if value != value else float(str(value)) for value in row] for row in rows]
