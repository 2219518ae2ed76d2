"""The protocol's paths as declared to FastAPI for /docs; OpenInference answers them."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.api.http.fast_path import DeclaredOnly
from service.api.open_inference.rest.paths import (
    ADMIN_PATHS,
    MODEL_PATHS,
    PATHS,
    VERSION,
    admin_path,
    model_path,
)

REQUEST = {
    "id": "42",
    "inputs": [
        {
            "name": "features",
            "shape": [1, 13],
            "datatype": "FP32",
            "data": [57, 1, 4, 140, 241, 0, 0, 123, 1, 0.2, 2, 0, 7],
        }
    ],
}


class ProtocolError(BaseModel):
    """An error, in the protocol's form."""

    error: str = Field(examples=['inputs[0].datatype: expected FP32, got "FP31"'])


def declared_router() -> APIRouter:
    """Return a router that declares every path of the protocol, those of models also by version."""
    errors: dict[int | str, dict[str, Any]] = {
        "default": {"model": ProtocolError, "description": "Any error"}
    }
    router = APIRouter(tags=["open inference protocol"], responses=errors)

    def declare(path: str, method: str, answer: Any) -> None:
        declaration = of_version if VERSION in path else of_model if "{" in path else of_server
        body = {"required": True, "content": {"application/json": {"example": REQUEST}}}
        router.add_api_route(
            path,
            declaration,
            methods=[method],
            summary=answer.__doc__.partition("\n")[0].rstrip("."),
            openapi_extra={"requestBody": body} if path.endswith("/infer") else None,
        )

    for path, (method, answer) in PATHS.items():
        declare(path, method, answer)
    for action, (method, answer) in MODEL_PATHS.items():
        for versioned in (False, True):
            declare(model_path(action, versioned=versioned), method, answer)
    for action, (method, answer) in ADMIN_PATHS.items():
        declare(admin_path(action), method, answer)
    return router


def of_server() -> Any:  # noqa: D103  # its summary is that of the call
    raise DeclaredOnly


def of_model(name: str) -> Any:  # noqa: D103
    raise DeclaredOnly


def of_version(name: str, version: str) -> Any:  # noqa: D103
    raise DeclaredOnly
