"""The query parameters that choose among the models of a task and their versions."""

from typing import Annotated

from fastapi import Query, Request

from service.api.http.requests import request_id, state_of
from service.errors import FieldProblem, InvalidPayload
from service.models.runtime.loaded import LoadedModel
from service.models.versions.registry import ModelSelector

ModelChoice = Annotated[
    str | None,
    Query(
        description="Which of the task's models answers, by its name in `GET /v1/models`: "
        "`heart-mlp16`, say. By default the one that has the task's own name."
    ),
]
VersionChoice = Annotated[
    str | None,
    Query(
        description="Which version of the model answers: one that `GET /v1/models` lists as ready, "
        "by its number or a label. By default the one that the label `stable` points at, or else "
        "the newest."
    ),
]
LabelChoice = Annotated[
    str | None,
    Query(
        description="The version by its label alone: `canary`, say. Not together with `version`."
    ),
]


def model_selector(request: Request) -> ModelSelector | None:
    """Return the choice of a request, None without one. Raises InvalidPayload."""
    if not request.scope["query_string"]:
        return None
    model, version, label = map(request.query_params.get, ("model", "version", "label"))
    if label is None:
        return ModelSelector(model, version)
    if version is not None:
        raise InvalidPayload([FieldProblem("label", "a version or a label, not both", repr(label))])
    if label.isdigit():
        problem = FieldProblem("label", "the name of a label (a number is a version)", repr(label))
        raise InvalidPayload([problem])
    return ModelSelector(model, label)


def select_model(request: Request, task: str) -> LoadedModel:
    """Return the model that answers a request to a task.

    Raises InvalidPayload, UnknownModel or ModelNotReady.
    """
    registry = state_of(request.scope).registry
    return registry.for_task(task, model_selector(request), request_id(request))
