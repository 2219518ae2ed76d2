"""The calls of an admin: only with FORETELL_ADMIN_KEY, and only for the callers who send it."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.http.models import ModelDetail, detail_of
from service.api.http.requests import caller_of, state_of
from service.models.versions import admin
from service.models.versions.registry import ModelRegistry

bearer = HTTPBearer(auto_error=False, description="The service's FORETELL_ADMIN_KEY")


def admin_only(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],  # for /docs
) -> None:
    """Raises NotAllowed unless the front door found the admin key in the request."""
    caller_of(request.scope).require_admin()


router = APIRouter(prefix="/v1/models", tags=["admin"], dependencies=[Depends(admin_only)])


@router.post("/{name}/load")
async def load(name: str, request: Request) -> ModelDetail:
    """Undo an unload, and load what the folder holds at once."""
    return await _done(admin.load, name, request)


@router.post("/{name}/unload")
async def unload(name: str, request: Request) -> ModelDetail:
    """Stop answering calls to this model, in every process, until it is loaded again."""
    return await _done(admin.unload, name, request)


@router.post("/{name}/rollback")
async def roll_back(name: str, request: Request) -> ModelDetail:
    """Answer by the previous version, whatever else comes, until another is promoted."""
    return await _done(admin.roll_back, name, request)


async def _done(
    act: Callable[[ModelRegistry, str], None], name: str, request: Request
) -> ModelDetail:
    registry = state_of(request.scope).registry
    await asyncio.to_thread(act, registry, name)
    return detail_of(registry.versions_of(name))
