"""What becomes of versions, and who is ready: noted from time to time by each worker."""

import os
from typing import get_args

from service.errors import UnknownModel
from service.models.versions.model_versions import State
from service.models.versions.registry import ModelRegistry
from service.observability.metrics.families import Gauge
from service.observability.metrics.shared_counters import WORKERS, Metric, SharedCounters

STATES = Metric(
    "states",
    ("model", "version"),
    ("default", *get_args(State)),
    (
        Gauge(
            "foretell_model_default_workers",
            "Workers in which a version answers the calls that name none",
            ("default",),
            skip_zeros=True,
        ),
        Gauge(
            "foretell_model_version_workers",
            "Workers in which a version is in a state",
            get_args(State),
            by="state",
            skip_zeros=True,
        ),
    ),
)
"""1 for what a version is in a worker, 0 for what it is not; all 0: it is gone."""


def record_states(counters: SharedCounters, registry: ModelRegistry) -> None:
    """Write down how things stand in this process."""
    ready = not registry.not_ready()
    for column, value in enumerate((os.getpid(), ready)):
        counters.series(WORKERS).values[column] = value
    now = _states(registry)
    for labels in {*counters.all_series(STATES), *now}:
        values = counters.series(STATES, *labels).values
        for column, name in enumerate(STATES.columns):
            values[column] = name in now.get(labels, ())


def _states(registry: ModelRegistry) -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name in registry.expected:
        try:
            versions = registry.versions_of(name)
        except UnknownModel:  # removed meanwhile
            continue
        answering = versions.default.card.version if versions.default else None
        for one in versions.states():
            also = ("default",) if one.version == answering else ()
            found[name, one.version] = (one.state, *also)
    return found
