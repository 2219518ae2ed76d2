"""GET /metrics, for a Prometheus server."""

from fastapi import APIRouter, Request, Response

from service.api.http.requests import header, state_of

router = APIRouter(tags=["health"])


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
def metrics(request: Request) -> Response:
    """Return everything that is counted, of all workers, whichever of them answers."""
    # Not at start: it takes a twentieth of a second. In a thread, as all of this.
    from prometheus_client import exposition
    from prometheus_client.openmetrics import exposition as openmetrics

    from service.observability.metrics.exposition import PrometheusExposition

    shown = PrometheusExposition(state_of(request.scope))
    # Their own choose_encoder crashes on a version that is no number.
    if "application/openmetrics-text" in (header(request.scope, b"accept") or ""):
        text = openmetrics.generate_latest(shown)  # type: ignore[no-untyped-call]  # theirs
        media = openmetrics.CONTENT_TYPE_LATEST
    else:
        text, media = exposition.generate_latest(shown), exposition.CONTENT_TYPE_PLAIN_0_0_4
    return Response(text, headers={"content-type": media})
