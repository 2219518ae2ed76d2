"""The query parameter by which a request chooses among the models of a task."""

from typing import Annotated

from fastapi import Query, Request

ModelChoice = Annotated[
    str | None,
    Query(
        description="Which of the task's models answers, by its name in `GET /v1/models`: "
        "`heart-mlp16`, say. By default the one that has the task's own name."
    ),
]


def chosen_model(request: Request) -> str | None:
    """What a request says of it."""
    return request.query_params.get("model") if request.scope["query_string"] else None
