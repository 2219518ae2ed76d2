"""GET /metrics, for a Prometheus server."""

import platform
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from starlette.datastructures import State

from service.api.state import unready_reasons
from service.api.worker_states import record_states
from service.models.runtime.session import RUNTIME_VERSION
from service.models.versions.registry import ModelRegistry
from service.observability.metrics.families import GaugeReading

if TYPE_CHECKING:
    from service.observability.metrics.exposition import PrometheusExposition

router = APIRouter(tags=["health"])


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
def metrics(request: Request) -> Response:
    """Return the counts of all workers, whichever of them answers (docs/operate/metrics.md)."""
    # Not at start: it takes a twentieth of a second. In a thread, as all of this.
    from prometheus_client import exposition
    from prometheus_client.openmetrics import exposition as openmetrics

    state = request.app.state
    record_states(state.counters, state.registry)
    shown = exposition_of(state)
    # Their own choose_encoder crashes on a version that is no number.
    if "application/openmetrics-text" in request.headers.get("accept", ""):
        text = openmetrics.generate_latest(shown)  # type: ignore[no-untyped-call]  # theirs
        media = openmetrics.CONTENT_TYPE_LATEST
    else:
        text, media = exposition.generate_latest(shown), exposition.CONTENT_TYPE_PLAIN_0_0_4
    return Response(text, headers={"content-type": media})


def exposition_of(state: State) -> "PrometheusExposition":
    """Return the exposition of an application's counters and of what `read_gauges` reads."""
    from service.observability.metrics.exposition import PrometheusExposition

    return PrometheusExposition(state.counters, partial(read_gauges, state))


def read_gauges(state: State) -> Iterator[GaugeReading]:
    """Yield what this worker is and has now: its build, its readiness and its models."""
    build = (version("foretell"), platform.python_version(), RUNTIME_VERSION)
    labels = ("version", "python", "onnxruntime")
    yield GaugeReading("foretell_build_info", "1; what runs", labels, [(build, 1)])
    ready = not unready_reasons(state)
    yield GaugeReading("foretell_ready", "1 if /readyz says 200 here", (), [((), ready)])
    registry: ModelRegistry = state.registry
    yield GaugeReading(
        "foretell_model_info",
        "1; the versions that answer in the worker that says this",
        ("model", "version", "task", "provider"),
        [
            ((name, model.card.version, model.task.name, model.session.provider), 1)
            for name in registry.expected
            for model in list(registry.versions_of(name).loaded.values())
        ],
    )
