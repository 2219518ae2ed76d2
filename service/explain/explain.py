"""One row's explanation, put together."""

from collections.abc import Sequence
from math import floor

import numpy as np
from numpy.typing import NDArray

from service.contract.image import ImageTask
from service.contract.probability import check_probability_array
from service.contract.tabular import TabularTask
from service.contract.wording import FeatureGroup, reason
from service.errors import FieldProblem, InvalidPayload, NotExplainable
from service.explain.answers import (
    Amount,
    BackgroundSummary,
    Contribution,
    Counterfactual,
    Explanation,
    GroupBreakdown,
    HeatMap,
)
from service.explain.counterfactuals import counterfactuals
from service.explain.occlusion import occlusion
from service.explain.shapley import (
    Attributions,
    Predict,
    owen_values,
    shapley_values,
    to_log_odds,
)
from service.models.artifacts.artifact import BACKGROUND, Background
from service.models.runtime.loaded import LoadedModel

LEAST = 0.005
"""A contribution to the probability below this is not listed as a reason."""


def explain(
    task: TabularTask, served: LoadedModel, row: NDArray[np.float32], split: str | None = None
) -> Explanation:
    """Explain the answer to one row, float32[F] in declared order, by a model of the task.

    The factor `split`, if any, is shared out to its fields.

    Raises NotExplainable for a model without reference rows, InvalidPayload if there is no such
    factor of several fields, and InvalidOutput.
    """
    background, card = background_of(served), served.card
    place = None if split is None else place_of(task, split)
    groups = columns_of(task)

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return served.session.run(rows)["probability"]

    shares = shapley_values(predict, row, background, groups)
    outputs = served.session.run(row[None])
    (answered,) = task.answers(outputs, row[None], served.ref, card.threshold, card.confidence)
    probability = answered.probability
    adverse = bool(getattr(answered, task.decision))
    contributions = contributions_of(task, row, task.feature_groups, shares)
    turned = _turned(task, predict, row, card.threshold) if adverse else []
    answer = Explanation(
        probability=probability,
        log_odds=float(to_log_odds(np.array([probability]))[0]),
        threshold=card.threshold,
        decision=adverse,
        certainty=answered.certainty,
        in_distribution=answered.in_distribution,
        warnings=answered.warnings,
        base=Amount(probability=shares.base[0], log_odds=shares.base[1]),
        contributions=contributions,
        reasons=[c.text for c in contributions if c.probability >= LEAST] if adverse else [],
        counterfactuals=turned,
        counterfactuals_note=None if turned else _why_none(task, adverse),
        background=BackgroundSummary(
            rows=len(background.rows),
            standing_for=int(background.weights.sum()),
            sha256=card.files[BACKGROUND],
        ),
        model=served.ref,
    )
    if place is None:
        return answer
    factor = task.feature_groups[place]
    fields = [task.parts[name] for name in factor.fields]
    owen = owen_values(predict, row, background, groups, place)
    parts = contributions_of(task, row, fields, owen)
    return answer.model_copy(
        update={"split": GroupBreakdown(factor=factor.name, contributions=parts)}
    )


def heat_map(task: ImageTask, served: LoadedModel, picture: NDArray[np.uint8]) -> HeatMap:
    """Return the heat map of one picture, uint8[height, width]. Raises InvalidOutput."""
    card, batch = served.card, picture[None]
    outputs = served.session.run(batch)
    (answered,) = task.answers(outputs, batch, served.ref, card.threshold, card.confidence)
    chosen = int(outputs[task.answer][0])

    def predict(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        return check_probability_array(served.session.run(pictures)["probabilities"][:, chosen])

    return HeatMap.model_validate(
        {
            "answer": task.to_label(chosen),
            "probability": answered.probability,
            "prediction_set": answered.prediction_set,
            "in_distribution": answered.in_distribution,
            "warnings": answered.warnings,
            "heat": occlusion(predict, picture).round(6).tolist(),
            "pixels": picture.tolist(),
            "model": served.ref,
        }
    )


def background_of(served: LoadedModel) -> Background:
    """Return the reference rows of a model's explanations. Raises NotExplainable."""
    if served.background is None:
        raise NotExplainable(served.card.name, served.card.version)
    return served.background


def place_of(task: TabularTask, split: str) -> int:
    """Return the index of the group of several fields with that name. Raises InvalidPayload."""
    several = {f.name: place for place, f in enumerate(task.feature_groups) if len(f.fields) > 1}
    if split in several:
        return several[split]
    expected = (
        f"one of {', '.join(several)}" if several else "nothing (no factor here has several fields)"
    )
    raise InvalidPayload([FieldProblem("split", expected, repr(split))])


def columns_of(task: TabularTask) -> list[list[int]]:
    """Return the columns of a row that each group of fields has."""
    places = {feature.name: place for place, feature in enumerate(task.features)}
    return [[places[name] for name in factor.fields] for factor in task.feature_groups]


def contributions_of(
    task: TabularTask,
    row: NDArray[np.float32],
    feature_groups: Sequence[FeatureGroup],
    shares: Attributions,
) -> list[Contribution]:
    """Return what each group of a row, float32[F], contributed, the largest first."""
    values = _values(task, row)
    found = [
        Contribution(
            factor=factor.name,
            title=factor.title,
            values={
                name: None if np.isnan(values[name]) else values[name] for name in factor.fields
            },
            text=reason(factor.phrase(values), probability),
            probability=probability,
            log_odds=log_odds,
        )
        for factor, (probability, log_odds) in zip(
            feature_groups, shares.parts.tolist(), strict=True
        )
    ]
    return sorted(found, key=lambda contribution: -abs(contribution.probability))


def _turned(
    task: TabularTask, predict: Predict, row: NDArray[np.float32], threshold: float
) -> list[Counterfactual]:
    found = []
    for other in counterfactuals(predict, row, threshold, task.features, task.wording.changes):
        values = _values(task, other)
        changed = [
            f.name
            for f, old, new in zip(task.features, row, other, strict=True)
            if old != new and not (np.isnan(old) and np.isnan(new))
        ]
        probability = float(predict(other[None])[0])
        what = " and ".join(task.parts[name].phrase(values) for name in changed)
        found.append(
            Counterfactual(
                changes={name: values[name] for name in changed},
                probability=probability,
                # Cut, not rounded: what is below 50 % must not read 50.0 %.
                text=f"With {what}, the estimate falls to {floor(1000 * probability) / 10} %",
            )
        )
    return found


def _why_none(task: TabularTask, adverse: bool) -> str:
    if not adverse:
        return "the decision is not adverse"
    if not task.wording.changes:
        return "nothing is declared that a person can change"
    fields = ", ".join(change.field for change in task.wording.changes)
    return f"no plausible change of {fields} turns this decision"


def _values(task: TabularTask, row: NDArray[np.float32]) -> dict[str, float]:
    # The shortest text of a float32 is the number that was sent: 0.2, not 0.20000000298.
    return {f.name: float(str(value)) for f, value in zip(task.features, row, strict=True)}
