"""Is it alive, is it ready: what an orchestrator asks."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from service.api.state import unready_reasons


class Live(BaseModel):
    """The process answers."""

    status: str = "live"


class Readiness(BaseModel):
    """Whether every expected model proved itself, in every worker, and if not, why not."""

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
    """The process runs and answers. Never depends on models: a restart would not mend those."""
    return Live()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Readiness}})
async def ready(request: Request, response: Response) -> Readiness:
    """200 once every model is loaded and repeats its golden answers, in every worker; else 503."""
    reasons = unready_reasons(request.app.state)
    if reasons:
        response.status_code = 503
    return Readiness(ready=not reasons, reasons=reasons)
