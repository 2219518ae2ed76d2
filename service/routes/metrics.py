"""What a Prometheus server reads."""

from fastapi import APIRouter, Request, Response

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
def metrics(request: Request) -> Response:
    """Everything that is counted, of all workers, whichever of them answers: docs/metrics.md."""
    # Not at start: it takes a twentieth of a second. In a thread, as all of this.
    from prometheus_client.exposition import choose_encoder

    from service.metrics.families import Metrics

    encode, media = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(Metrics(request.app.state)), headers={"content-type": media})
