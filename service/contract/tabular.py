"""Yes or no of a row: declared fields in, one probability and one decision a row out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from service.contract.answers import CERTAINTIES, ModelRef, TabularPrediction
from service.contract.probability import check_probabilities, check_probability_array, decide
from service.contract.rows import AnswerColumn, Columns, RowTask
from service.contract.signature import Outputs, Tensor, Values
from service.contract.uncertainty import Confidence
from service.contract.wording import FeatureGroup, Wording, feature_groups_of, single_field_groups

YES, NO = b"true", b"false"
BOOLEAN = (False, True)


@dataclass(frozen=True)
class TabularTask(RowTask):
    """Rows of declared fields in, one probability and one decision a row out.

    `decision` names the boolean field of `prediction`: the probability reaches the threshold of the
    model's card. `wording` is for explanations.
    """

    prediction: type[TabularPrediction]
    decision: str
    has_threshold: ClassVar[bool] = True
    wording: Wording = field(default_factory=Wording)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """`probability` float32[N]."""
        return (Tensor(name="probability", dtype="float32", shape=(None,)),)

    @cached_property
    def parts(self) -> dict[str, FeatureGroup]:
        """Each field as a factor of its own, under the title that its payload describes it by."""
        titles = {name: f.description or name for name, f in self.payload.model_fields.items()}
        return single_field_groups(self.features, titles, self.wording)

    @cached_property
    def feature_groups(self) -> tuple[FeatureGroup, ...]:
        """The groups that explanations share an answer out to; every field is in one."""
        return feature_groups_of(self.parts, self.wording)

    def answers(
        self,
        outputs: Outputs,
        batch: NDArray[np.float32],
        model: ModelRef,
        threshold: float,
        confidence: Confidence | None = None,
    ) -> Sequence[TabularPrediction]:
        """Return one prediction for each row of `batch`, float32[N, F], as `writer` words it.

        Raises InvalidOutput unless every probability is in 0..1.
        """
        write = self.writer(model, threshold, confidence)
        return [
            self.prediction.model_validate_json(
                write({"probability": outputs["probability"][place : place + 1]}, values)
            )
            for place, values in enumerate(_recorded(batch))
        ]

    def decide(self, outputs: Outputs, threshold: float) -> NDArray[np.bool_]:
        """Return the decision of each row, bool[N]; NaN decides no."""
        return decide(outputs["probability"].astype(np.float64), threshold)

    def graph_outputs(self, answer: Any, ops: Any) -> dict[str, Any]:
        """Return `probability`, [N], of a network's answer [N, 1]."""
        return {"probability": ops.reshape(answer, [-1])}

    def answer_columns(self, confidence: bool) -> tuple[AnswerColumn, ...]:
        """Return probability and decision; with `confidence`, certainty and in_distribution."""
        answered = (
            AnswerColumn("probability", 0.83),
            AnswerColumn(self.decision, True, BOOLEAN),
        )
        if not confidence:
            return answered
        return (
            *answered,
            AnswerColumn("certainty", "decided", CERTAINTIES),
            AnswerColumn("in_distribution", True, BOOLEAN),
        )

    def column_writer(
        self, threshold: float, confidence: Confidence | None = None
    ) -> Callable[[Outputs, NDArray[np.float32]], Columns]:
        """Return a function from outputs of N rows, and the rows, to the columns of the answers.

        The function raises InvalidOutput unless every probability is in 0..1.
        """
        ranges = None if confidence is None else self.range_check(confidence)

        def columns(outputs: Outputs, rows: NDArray[np.float32]) -> Columns:
            probability = check_probability_array(outputs["probability"])
            decision = decide(probability, threshold)
            if confidence is None or ranges is None:
                return probability, decision
            return (
                probability,
                decision,
                confidence.conformal.decided(probability),
                ~ranges.outside(rows),
            )

        return columns

    def writer(
        self, model: ModelRef, threshold: float, confidence: Confidence | None = None
    ) -> Callable[[Outputs, Values], bytes]:
        """Return a function from the outputs of one row, and its values, to its prediction's JSON.

        Two values change from one row to the next, and what is said of confidence; the rest is
        written once. The function raises InvalidOutput as `answers` does.
        """
        rest = f',"threshold":{threshold!r},"model":{model.model_dump_json()}'

        def ending(certainty: str, in_distribution: str, warnings: bytes, yes: bool) -> bytes:
            text = f'{rest},"certainty":{certainty},"in_distribution":{in_distribution},"warnings":'
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

        ranges, least = self.range_check(confidence), confidence.conformal.threshold
        usual = [
            [ending(f'"{certainty}"', "true", b"[]", each) for certainty in CERTAINTIES]
            for each in (False, True)
        ]

        def write(outputs: Outputs, values: Values) -> bytes:
            (probability,) = check_probabilities(outputs["probability"].tolist())
            yes = probability >= threshold
            # As `ConformalSets.decided`, which for one number costs fifty times as much.
            decided = (probability >= least) is not (1 - probability >= least)
            if outside := ranges.out_of_range(values):
                warnings = [ranges.warning(place, values[place] or 0.0) for place in outside]
                end = ending(f'"{CERTAINTIES[decided]}"', "false", to_json(warnings), yes)
                return b'{"probability":%a%b' % (probability, end)
            return b'{"probability":%a%b' % (probability, usual[yes][decided])

        return write


def _recorded(rows: NDArray[np.float32]) -> list[list[float | None]]:
    # The shortest text of a float32 is the number that was sent: 0.2, not 0.20000000298.
    return [[None if value != value else float(str(value)) for value in row] for row in rows]
