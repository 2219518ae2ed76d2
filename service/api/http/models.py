"""Models as they are served: cards, versions, the provider in use."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from service.api.http.requests import state_of
from service.api.http.selection import LabelChoice, model_selector
from service.models.artifacts.card import Card
from service.models.versions.model_versions import ModelVersions, State
from service.models.versions.shadow import COMPARED, Comparison


class VersionSummary(BaseModel):
    """One version of a model, on disk or in memory."""

    version: str
    state: State = Field(
        description="`ready`: answers; `loading`; `refused`: never, until its files change; "
        "`idle`: not among those that are served; `draining`: held by requests under way only"
    )
    reason: str | None = Field(None, description="Why it is refused")
    labels: list[str] = Field([], description="The labels that point at it")


class ShadowSummary(BaseModel):
    """A version that scores some calls unheard, and how it compares, since the service started."""

    version: str
    share: float = Field(description="Of the calls that are answered by default")
    rows: int = Field(description="Rows that were compared")
    agreement: float | None = Field(None, description="Share of rows with the same decision")
    mean_absolute_difference: float | None = Field(
        None, description="Of the probabilities; of pictures, averaged over classes"
    )
    dropped: int = Field(description="Calls left out because too many were waiting")
    failed: int = Field(description="Calls that it could not score")


class BatchingSummary(BaseModel):
    """Rows of several callers in one run."""

    on: bool
    buckets: list[int] = Field(
        description="Rows that runs are warmed up with; the last is the most of one run",
        examples=[[1, 2, 4, 8, 16, 32, 64]],
    )
    speedup: float = Field(description="How many times cheaper a row is in a shared run")


class ModelSummary(BaseModel):
    """One model, whether it answers or not."""

    name: str
    title: str | None = Field(None, description="In words; while it answers, as `task` is")
    task: str | None = Field(
        None, description="Whose calls it answers: `POST /v1/{task}/predict?model={name}`"
    )
    ready: bool
    reason: str | None = Field(
        None, description="Why it is not ready, or why it does not answer as its labels say"
    )
    version: str | None = Field(None, description="The version that calls get which name none")
    versions: list[str] = Field(description="All versions on disk, oldest first")
    states: list[VersionSummary] = Field(description="What has become of each, oldest first")
    labels: dict[str, str] = Field(description="Version by label", examples=[{"stable": "1"}])
    canaries: dict[str, float] = Field(
        {}, description="Share of the calls that name no version, by the label that answers them"
    )
    shadow: ShadowSummary | None = None
    version_policy: str = Field(description="Which versions are served, by FORETELL_VERSION_POLICY")
    provider: str | None = Field(None, description="The execution provider in use")
    load_ms: float | None = Field(None, description="Time to load, verify and warm up")
    row_us: float | None = Field(None, description="Time of one row in microseconds, then")
    runs_on_event_loop: bool | None = Field(
        None, description="Whether it answers on the event loop (small models) or in a thread"
    )
    batching: BatchingSummary | None = Field(
        None, description="Whether callers share runs of the model, as measured when it was loaded"
    )


class ModelDetail(ModelSummary):
    """One model with the card of the version that answers, or of the one asked for."""

    card: Card | None = None


router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("")
async def list_models(request: Request) -> list[ModelSummary]:
    """Every expected model."""
    registry = state_of(request.scope).registry
    return [
        ModelSummary.model_validate(
            detail_of(registry.versions_of(name)).model_dump(exclude={"card"})
        )
        for name in registry.expected
    ]


@router.get("/{name}")
async def show_model(
    name: str,
    request: Request,
    version: Annotated[
        str | None,
        Query(
            description="Whose card, by its number or a label, whether it is served or lies on "
            "disk only. By default that of the version that answers; all else is always of that."
        ),
    ] = None,
    label: LabelChoice = None,
) -> ModelDetail:
    """One model and its card: data, training, metrics, contract, intended use."""
    registry = state_of(request.scope).registry
    versions = registry.versions_of(name)
    detail = detail_of(versions)
    choice = model_selector(request)  # of the version or the label, which are declared above
    if choice is None or choice.version is None:
        return detail
    card = await asyncio.to_thread(versions.card, choice.version)
    return detail.model_copy(update={"card": card})


def _shadow_of(versions: ModelVersions) -> ShadowSummary | None:
    if (shadow := versions.traffic.shadow) is None:
        return None
    compared = shadow.first.card.version, shadow.second.card.version
    seen = Comparison(*versions.counters.total(COMPARED, versions.name, *compared))
    return ShadowSummary(
        version=shadow.second.card.version,
        share=shadow.share,
        rows=int(seen.rows),
        agreement=seen.agreed / seen.rows if seen.rows else None,
        mean_absolute_difference=seen.difference / seen.rows if seen.rows else None,
        dropped=int(seen.dropped),
        failed=int(seen.failed),
    )


def detail_of(versions: ModelVersions) -> ModelDetail:
    """Return the facts of a model."""
    served = versions.default
    detail = ModelDetail(
        name=versions.name,
        ready=served is not None,
        reason=versions.problem if served else versions.problem or "it is being loaded",
        versions=versions.on_disk,
        states=[VersionSummary.model_validate(vars(state)) for state in versions.states()],
        labels=versions.labels.versions,
        canaries=versions.labels.weights,
        shadow=_shadow_of(versions),
        version_policy=str(versions.policy),
    )
    if served is None:
        return detail
    card, facts = served.card, served.facts
    facts["batching"] = BatchingSummary.model_validate(facts["batching"])
    facts |= {"title": card.title, "task": card.task, "card": card}
    return detail.model_copy(update=facts)
