"""Liveness and readiness, for an orchestrator."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.api.http.requests import state_of


class Live(BaseModel):
    """The process answers."""

    status: str = "live"


class Readiness(BaseModel):
    """The readiness of every expected model in every worker, with the reasons against it."""

    ready: bool
    reasons: dict[str, str] = Field(
        {},
        description="Reason by model that cannot answer, and for `workers` or the `service`",
        examples=[{}],
    )


router = APIRouter(tags=["health"])


@router.head("/livez", include_in_schema=False)  # as load balancers ask
@router.get("/livez")
async def live() -> Live:
    """Answer that the process runs. Models are not asked: a restart would not repair them."""
    return Live()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Readiness}})
async def ready(request: Request, response: Response) -> Readiness:
    """Answer 200 once every model in every worker repeats its golden answers; until then 503."""
    reasons = state_of(request.scope).unready_reasons()
    if reasons:
        response.status_code = 503
    return Readiness(ready=not reasons, reasons=reasons)
