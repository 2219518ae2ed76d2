"""What is served: cards, versions, the provider in use."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.artifact import Card, versions
from service.errors import ModelNotReady
from service.repository import Repository


class ModelSummary(BaseModel):
    """One model, whether it answers or not."""

    name: str
    ready: bool
    reason: str | None = Field(None, description="Why it is not ready")
    version: str | None = Field(None, description="The version that answers")
    versions: list[str] = Field(description="All versions on disk, oldest first")
    provider: str | None = Field(None, description="The execution provider in use")
    load_ms: float | None = Field(None, description="Time to load, verify and warm up")
    row_us: float | None = Field(None, description="Time of one row in microseconds, then")
    inline: bool | None = Field(
        None, description="Whether it answers on the event loop (small models) or in a thread"
    )


class ModelDetail(ModelSummary):
    """One model with the card of the version that answers."""

    card: Card | None = None


router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(request: Request) -> list[ModelSummary]:
    """Every expected model."""
    repository: Repository = request.app.state.repository
    return [
        ModelSummary.model_validate(_detail(repository, name).model_dump(exclude={"card"}))
        for name in repository.expected
    ]


@router.get("/{name}")
async def show_model(name: str, request: Request) -> ModelDetail:
    """One model and its card: data, training, metrics, contract, intended use."""
    return _detail(request.app.state.repository, name)


def _detail(repository: Repository, name: str) -> ModelDetail:
    try:
        served = repository.get(name)
    except ModelNotReady as error:
        return ModelDetail(
            name=name,
            ready=False,
            reason=error.reason,
            versions=versions(repository.models_dir, name),
        )
    return ModelDetail(
        name=name,
        ready=True,
        version=served.card.version,
        versions=versions(repository.models_dir, name),
        provider=served.predictor.provider,
        load_ms=round(served.load_ms, 1),
        row_us=round(served.row_us, 1),
        inline=served.inline,
        card=served.card,
    )
