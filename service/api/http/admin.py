"""Calls of an operator: there only with FORETELL_ADMIN_KEY, answered only to who sends it."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.access import keys
from service.api.http.models import ModelDetail, detail_of
from service.models.versions import admin
from service.models.versions.registry import ModelRegistry
from service.settings.settings import Settings

bearer = HTTPBearer(auto_error=False, description="The service's FORETELL_ADMIN_KEY")


def admin_only(
    request: Request,
    sent: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> None:
    """Raises NotAllowed unless the key came with the request."""
    settings: Settings = request.app.state.settings
    assert settings.admin_key is not None
    keys.authorise(settings.admin_key, sent.credentials if sent else None)


router = APIRouter(prefix="/v1/models", tags=["control"], dependencies=[Depends(admin_only)])


@router.post("/{name}/load")
async def load(name: str, request: Request) -> ModelDetail:
    """Undo an unload, and take up at once what lies in the folder."""
    return await _done(admin.load, name, request)


@router.post("/{name}/unload")
async def unload(name: str, request: Request) -> ModelDetail:
    """Answer no more calls to this model, in every process, until it is loaded again."""
    return await _done(admin.unload, name, request)


@router.post("/{name}/rollback")
async def roll_back(name: str, request: Request) -> ModelDetail:
    """Let the version before answer, whatever else comes, until another is promoted."""
    return await _done(admin.roll_back, name, request)


async def _done(
    act: Callable[[ModelRegistry, str], None], name: str, request: Request
) -> ModelDetail:
    registry: ModelRegistry = request.app.state.registry
    await asyncio.to_thread(act, registry, name)
    return detail_of(registry.versions_of(name))
