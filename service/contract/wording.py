"""The wording of explanations: groups of fields, phrases, and fields that a person can change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Literal

from service.contract.fields import Feature

Phrase = str | Mapping[int, str]
Values = Mapping[str, float]
"""A row by field; NaN = not recorded."""


@dataclass(frozen=True)
class FeatureGroup:
    """Fields that are explained as one; `phrase` says their values, as the subject of a reason."""

    name: str
    title: str
    fields: tuple[str, ...]
    phrase: Callable[[Values], str]


@dataclass(frozen=True)
class ActionableField:
    """A field that a person can change: which way, and how far is plausible.

    `limit` is a value or the name of another field of the row; `step` how finely numbers are told.
    """

    field: str
    direction: Literal["down", "up"]
    limit: float | str
    step: float = 1


@dataclass(frozen=True)
class Wording:
    """The table of phrases of a contract: by field a text with `{value}` in it, or one a code."""

    phrases: Mapping[str, Phrase] = field(default_factory=dict)
    feature_groups: tuple[FeatureGroup, ...] = ()
    changes: tuple[ActionableField, ...] = ()


def single_field_groups(
    features: Sequence[Feature], titles: Mapping[str, str], wording: Wording
) -> dict[str, FeatureGroup]:
    """Return every field, by name, as a group of its own."""
    return {
        feature.name: _single(feature, titles[feature.name], wording.phrases.get(feature.name))
        for feature in features
    }


def feature_groups_of(
    parts: Mapping[str, FeatureGroup], wording: Wording
) -> tuple[FeatureGroup, ...]:
    """Return the declared groups, and one for every other field, in the order of the fields."""
    united = {name: factor for factor in wording.feature_groups for name in factor.fields}
    # A dict keeps the first of equals in its place.
    return tuple(
        {f.name: f for f in (united.get(name, one) for name, one in parts.items())}.values()
    )


def _single(feature: Feature, title: str, template: Phrase | None) -> FeatureGroup:
    unit = f" {feature.unit}" if feature.unit else ""
    text = template or f"{title}: {{value}}{unit}"

    def phrase(values: Values) -> str:
        value = values[feature.name]
        if isnan(value):
            return f"{title} not recorded"
        return (
            text.replace("{value}", format_value(value, feature))
            if isinstance(text, str)
            else text[int(value)]
        )

    return FeatureGroup(feature.name, title, (feature.name,), phrase)


def format_value(value: float, feature: Feature) -> str:
    """Return a recorded value in words: a code's meaning, or a number to seven digits."""
    return feature.codes[int(value)] if feature.codes else f"{round(value, 4):,.7g}"


def reason(phrase: str, contribution: float) -> str:
    """Return a contribution to a probability as a sentence, in points of a hundredth."""
    points = round(100 * contribution)
    sentence = phrase[0].upper() + phrase[1:]
    if points == 0:
        return f"{sentence} hardly changed the estimate"
    unit = "point" if abs(points) == 1 else "points"
    return (
        f"{sentence} {'raised' if points > 0 else 'lowered'} the estimate by {abs(points)} {unit}"
    )
