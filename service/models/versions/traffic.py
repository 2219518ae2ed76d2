"""The split of the calls that name no version: the default, canaries, and a shadow beside it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.models.artifacts.labels import Labels
from service.models.runtime.loaded import LoadedModel
from service.models.versions.shadow import COMPARED, ShadowObserver
from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric, SharedCounters

CANARY_CALLS = Metric(
    "canary_calls",
    ("model", "version"),
    ("calls",),
    (
        Counter(
            "foretell_canary_calls_total",
            "Calls that named no version, while a canary had a share of them",
            ("calls",),
        ),
    ),
)
"""Calls that named no version, while a canary had a share of them."""


@dataclass(frozen=True)
class Traffic:
    """The split of the calls to one model."""

    default: LoadedModel | None = None
    """The version that most of them get; it is observed by the shadow, if there is one."""
    canaries: tuple[tuple[float, LoadedModel], ...] = ()
    """Versions that get a share, each with the end of its part of 0..1."""
    shadow: ShadowObserver | None = None

    def route(self, request_id: str | None) -> LoadedModel | None:
        """Return the version for a call of this id; without an id, never a canary.

        The same id always goes the same way; one that went to the only canary stays with it when
        its weight grows.
        """
        if request_id is not None and self.canaries:
            place = position_of(request_id)
            for end, canary in self.canaries:
                if place < end:
                    return canary
        return self.default


def build_traffic_split(
    labels: Labels,
    loaded: Mapping[str, LoadedModel],
    default: LoadedModel | None,
    before: Traffic,
    counters: SharedCounters,
) -> Traffic:
    """Return the traffic that labels ask for, among the versions that are loaded.

    A canary or shadow that is not loaded has no part in it. The shadow of `before` goes on if it
    is still the one that is wanted.
    """
    if default is None:
        return Traffic()
    canaries: list[tuple[float, LoadedModel]] = []
    end = 0.0
    for label, weight in sorted(labels.weights.items()):
        if canary := loaded.get(labels.versions[label]):
            end += weight
            canaries.append((end, canary))
    wanted = next((label for label in labels.root.values() if label.shadow), None)
    second = loaded.get(wanted.version) if wanted else None
    if wanted is None or second is None or second is default:
        return Traffic(default, tuple(canaries))
    if before.shadow and before.shadow.compares(default, second, wanted.shadow):
        return replace(before, canaries=tuple(canaries))
    versions = default.card.version, second.card.version
    counts = counters.series(COMPARED, default.card.name, *versions)
    shadow = ShadowObserver(default, second, wanted.shadow, counts)
    return Traffic(default.observed_by(shadow), tuple(canaries), shadow)


def position_of(request_id: str) -> float:
    """Return where in 0..1 an id lies: evenly distributed, and the same every time."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
