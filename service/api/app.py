"""The wiring: settings in, an ASGI application out."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from service import errors
from service.api.http import admin, health, metrics, models
from service.api.http.fast_path import FastPath, fast_path_answers
from service.api.http.middleware import BodyLimit, RequestContext
from service.api.http.playground import playground_router
from service.api.http.problems import (
    MEDIA_TYPE,
    Problem,
    problem,
    problem_response,
    refusal,
)
from service.api.http.task_routes import routes_of
from service.api.open_inference.rest.documentation import declared_router
from service.api.open_inference.rest.paths import OpenInference
from service.api.open_inference.statistics import Statistics
from service.api.worker_states import record_states
from service.bulk.tables.job import JobSlots
from service.explain.queue import ExplanationQueue
from service.images.decoders.pool import DecoderPool
from service.models.versions.registry import ModelRegistry
from service.models.versions.watcher import Watcher
from service.observability.metrics.requests import Requests
from service.observability.metrics.shared_counters import SharedCounters
from service.observability.worker_slots import WorkerSlot
from service.settings.settings import Settings
from service.tasks import TASKS

READERS_AFTER = 1.0
"""Seconds from the service's start to that of the processes that read pictures."""

DESCRIPTION = """
Probabilities for patients (heart disease) and card clients (default); digits and garments told
from pictures.

Every error is `application/problem+json` and names each bad field, what was expected and what came.
Under `/v2` every model speaks the Open Inference Protocol (KServe, Triton), with its errors.
Not a medical device; not a credit decision by itself.
"""


class Foretell(FastAPI):
    """FastAPI, with direct calls answered ahead of all of it but the middleware that is ours.

    Not where OpenTelemetry is set up: then they take the long way, on which FastAPI traces them.
    """

    direct_calls: FastPath

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self.direct_calls.include(scope):
            scope["app"] = self
            await self.direct_calls.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings, slot: WorkerSlot | None = None) -> FastAPI:
    """The service, as one process or in its `slot` among several.

    Its lifespan loads the models in a thread, so that /livez answers at once.
    """
    counters = (
        SharedCounters(slot.counters_memory, slot.number)
        if slot and slot.counters_memory
        else SharedCounters()
    )
    registry = ModelRegistry(
        settings.models_dir, TASKS, settings.device, settings.policy, counters, settings.queue
    )
    told = False

    def looked() -> None:
        nonlocal told
        record_states(counters, registry)
        if slot and not told and not registry.not_ready():
            told = True
            slot.mark_ready()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watcher = Watcher(registry, settings.poll_seconds, looked)
        watcher.start()
        if slot and slot.replaces:
            await asyncio.to_thread(watcher.wait)  # other workers answer meanwhile
        app.state.explanations = explanations = ExplanationQueue()
        app.state.readers = readers = DecoderPool(settings.readers, counters)
        # The models load first; a picture that comes sooner is not kept waiting for that.
        starting = asyncio.get_running_loop().call_later(READERS_AFTER, readers.start)
        yield
        starting.cancel()
        await readers.close()
        await asyncio.to_thread(watcher.stop)
        await asyncio.to_thread(explanations.close)
        registry.close()

    routes = [routes_of(task) for task in TASKS.values()]
    predict = [each.predict for each in routes]
    batch = [each.batch for each in routes if each.batch is not None]
    explain = [each.explain for each in routes if each.explain is not None]
    # Of these, some calls are answered, or refused, before any route is looked for.
    known = {
        route.path
        for router in [*predict, *batch, *explain]
        for route in router.routes
        if isinstance(route, APIRoute)
    }
    context = Middleware(RequestContext, requests=Requests(counters, known))
    elsewhere = frozenset(each.batch_path for each in routes if each.batch_path is not None)
    limit = Middleware(BodyLimit, limit=settings.max_body_bytes, elsewhere=elsewhere)
    # FastAPI's own docs load their scripts from elsewhere: a blank page in a closed network.
    app = FastAPIOffline(
        title="Foretell",
        version=version("foretell"),
        description=DESCRIPTION,
        lifespan=lifespan,
        middleware=[context, Middleware(OpenInference), limit],
    )
    app.state.counters = counters
    app.state.registry = registry
    app.state.settings = settings
    app.state.draining = False
    app.state.slot = slot
    app.state.statistics = Statistics(counters)
    app.state.places = JobSlots(settings.max_bulk_jobs, counters)
    for router in predict:
        app.include_router(router, responses=_documented(400, 404, 413, 415, 422, 503))
    for router in batch:
        app.include_router(router, responses=_documented(404, 406, 408, 413, 415, 422, 503, 507))
    for router in explain:
        app.include_router(router, responses=_documented(400, 404, 409, 413, 415, 422, 503))
    app.include_router(models.router, responses=_documented(404, 422, 503))
    if settings.admin_key:
        app.include_router(admin.router, responses=_documented(403, 404, 409, 503))
    app.include_router(declared_router())
    app.include_router(health.router)
    if settings.metrics:
        app.include_router(metrics.router)
    app.include_router(playground_router())
    app.add_exception_handler(errors.ForetellError, _foretell_error)
    app.add_exception_handler(HTTPException, _http_error)
    if not any(name.startswith(("OTEL_", "FASTAPI_OTEL_")) for name in os.environ):
        # FastAPIOffline is a function: there is no class to inherit from.
        app.__class__ = Foretell
        assert isinstance(app, Foretell)
        app.direct_calls = FastPath(fast_path_answers(predict), [context, limit])
    _add_problem_schema(app)
    return app


async def _foretell_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ForetellError)
    return refusal(error, request.state.request_id)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}; /docs lists what there is"
    elif error.status_code == 405:
        detail = f"{request.url.path} does not answer {request.method}"
    body = problem(error.status_code, detail, request.state.request_id)
    return problem_response(body, error.headers)


def _documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    reference = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": reference}}
    texts = {
        400: "Not JSON, or not a form, at all",
        403: "Without the key of FORETELL_ADMIN_KEY",
        404: "No model of this name, or none of this task",
        406: "No format that `Accept` allows",
        408: "Nothing was sent, or taken, for too long",
        409: "The folder of models does not allow it: read-only, no version to go back to, or no "
        "reference rows to explain with",
        413: "Larger than the service takes in",
        415: "A content type, or a Content-Encoding, that this route does not read",
        422: "Fields or pictures that cannot be answered; `errors` lists every bad field",
        503: "The model is not ready, or too many calls wait",
        507: "No room on disk for what has to be kept",
    }
    return {status: {"description": texts[status], "content": content} for status in statuses}


def _add_problem_schema(app: FastAPI) -> None:
    # FastAPI collects the schemas of JSON answers only; problem+json has to be added by hand.
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        _, problem_schema = models_json_schema(
            [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        schema["components"]["schemas"] |= problem_schema["$defs"]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it
