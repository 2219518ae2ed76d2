"""Who gets the calls that name no version: the one that answers by default, canaries, a shadow."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.models.artifacts.labels import Labels
from service.models.runtime.loaded import LoadedModel
from service.models.versions.shadow import COMPARED, Shadow, ShadowedSession
from service.observability.metrics.shared_counters import Metric, SharedCounters

CANARY_CALLS = Metric("shared", ("model", "version"), ("calls",))
"""Calls that named no version, while a canary had a share of them."""


@dataclass(frozen=True)
class Traffic:
    """How the calls to one model are shared out."""

    default: LoadedModel | None = None
    """What most of them get; with a shadow, it tells that of each call."""
    canaries: tuple[tuple[float, LoadedModel], ...] = ()
    """Versions that get a share, each with the end of its part of 0..1."""
    shadow: Shadow | None = None

    def route(self, request_id: str | None) -> LoadedModel | None:
        """What a call of this id gets; without an id, never a canary.

        The same id always goes the same way; one that went to the only canary stays with it when
        its weight grows.
        """
        if request_id is not None and self.canaries:
            place = position_of(request_id)
            for end, served in self.canaries:
                if place < end:
                    return served
        return self.default


def build_traffic_split(
    labels: Labels,
    loaded: Mapping[str, LoadedModel],
    answering: LoadedModel | None,
    before: Traffic,
    counters: SharedCounters,
) -> Traffic:
    """The traffic that labels ask for, among the versions that are loaded.

    A canary or shadow that is not loaded has no part in it. The shadow of `before` goes on if it
    is still the one that is wanted.
    """
    if answering is None:
        return Traffic()
    canaries: list[tuple[float, LoadedModel]] = []
    end = 0.0
    for label, weight in sorted(labels.weights.items()):
        if canary := loaded.get(labels.versions[label]):
            end += weight
            canaries.append((end, canary))
    wanted = next((found for found in labels.root.values() if found.shadow), None)
    second = loaded.get(wanted.version) if wanted else None
    if wanted is None or second is None or second is answering:
        return Traffic(answering, tuple(canaries))
    if before.shadow and before.shadow.compares(answering, second, wanted.shadow):
        return replace(before, canaries=tuple(canaries))
    versions = answering.card.version, second.card.version
    counts = counters.series(COMPARED, answering.card.name, *versions)
    shadow = Shadow(answering, second, wanted.shadow, counts)
    default = replace(answering, session=ShadowedSession(shadow))
    return Traffic(default, tuple(canaries), shadow)


def position_of(request_id: str) -> float:
    """Where in 0..1 an id lies: anywhere, and always there."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
