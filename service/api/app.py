"""The wiring of the service: settings in, an ASGI application out."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Scope

from service.api.http import admin, health, metrics, models
from service.api.http.fast_path import FastPath, fast_routes, known_query
from service.api.http.front_door import BodyLimit, Dispatcher, Endpoint, FrontDoor
from service.api.http.playground import playground_router
from service.api.http.problems import add_handlers, documented, write_problem
from service.api.http.task_routes import TaskRoutes, routes_of
from service.api.open_inference.rest.documentation import declared_router
from service.api.open_inference.rest.paths import OpenInference
from service.api.state import ServiceState
from service.observability.metrics.requests import Requests
from service.observability.worker_slots import WorkerSlot
from service.settings.settings import Settings
from service.tasks import TASKS

DESCRIPTION = """
Probabilities for patients (heart disease) and card clients (default); digits and garments told
from pictures.

Every error is `application/problem+json` and names each bad field, what was expected and what came.
Under `/v2` every model speaks the Open Inference Protocol (KServe, Triton), with its errors.
Not a medical device; not a credit decision by itself.
"""


def create_app(settings: Settings, slot: WorkerSlot | None = None) -> FrontDoor:
    """Return the service as an ASGI application: one process, or the worker of a `slot`."""
    state = ServiceState.create(settings, slot)
    routes = [routes_of(task) for task in TASKS.values()]
    fast_path = FastPath(fast_routes(each.predict for each in routes))
    open_inference = OpenInference(state)
    fast = Endpoint(fast_path.matches, fast_path, write_problem)
    v2 = Endpoint(open_inference.matches, open_inference, open_inference.write_error)
    traced = any(name.startswith(("OTEL_", "FASTAPI_OTEL_")) for name in os.environ)
    framework = _framework(state, routes, [v2] if traced else [])
    # OpenTelemetry traces what FastAPI answers: where it is set up, FastAPI is given every request.
    endpoints = [replace(v2, app=framework)] if traced else [fast, v2]
    exempt = frozenset(each.batch_path for each in routes if each.batch_path is not None)
    return FrontDoor(
        state,
        framework,
        fast_path=None if traced else fast_path,
        dispatcher=Dispatcher(Endpoint(_every, framework, write_problem), endpoints),
        body_limit=BodyLimit(settings.max_body_bytes, exempt),
        requests=Requests(state.counters, _paths(routes)),
    )


def _framework(
    state: ServiceState, routes: Sequence[TaskRoutes], inside: Sequence[Endpoint]
) -> FastAPI:
    """Return FastAPI with every route that /docs shows; it passes on what is `inside` it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with state.running():
            yield

    def dispatch(app: ASGIApp) -> ASGIApp:
        return Dispatcher(Endpoint(_every, app, write_problem), inside)

    # FastAPI's own docs load their scripts from elsewhere: a blank page in a closed network.
    framework = FastAPIOffline(
        title="Foretell",
        version=version("foretell"),
        description=DESCRIPTION,
        lifespan=lifespan,
        middleware=[Middleware(dispatch)] if inside else [],
    )
    checked = [Depends(known_query)]
    for each in routes:
        statuses = documented(400, 404, 413, 415, 422, 503)
        framework.include_router(each.predict, responses=statuses)
    for each in routes:
        if each.batch is not None:
            statuses = documented(404, 406, 408, 413, 415, 422, 503, 507)
            framework.include_router(each.batch, responses=statuses, dependencies=checked)
    for each in routes:
        if each.explain is not None:
            statuses = documented(400, 404, 409, 413, 415, 422, 503)
            framework.include_router(each.explain, responses=statuses)
    framework.include_router(
        models.router, responses=documented(404, 422, 503), dependencies=checked
    )
    if state.settings.admin_key:
        framework.include_router(
            admin.router, responses=documented(403, 404, 409, 422, 503), dependencies=checked
        )
    framework.include_router(declared_router())
    framework.include_router(health.router)
    if state.settings.metrics:
        framework.include_router(metrics.router)
    framework.include_router(playground_router())
    add_handlers(framework)
    return framework


def _every(_: Scope) -> bool:
    return True


def _paths(routes: Sequence[TaskRoutes]) -> set[str]:
    """Return the paths of the tasks, which are counted by name also when no route is looked for."""
    return {
        route.path
        for each in routes
        for router in (each.predict, each.batch, each.explain)
        if router is not None
        for route in router.routes
        if isinstance(route, APIRoute)
    }
