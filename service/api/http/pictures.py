"""Pictures by upload, by body or as pixels, and their answers."""

import asyncio
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, create_model
from pydantic_core import to_json

from service.api.http.fast_path import DeclaredOnly, answered_by
from service.api.http.picture_upload import (
    declared_media_type,
    documented_body,
    pixels_payload,
    read_picture,
    read_pixels,
    run_in_executor,
)
from service.api.http.problems import Problem, problem_of
from service.api.http.requests import (
    cancel_on_disconnect,
    read_body,
    read_call,
    request_id,
    state_of,
)
from service.api.http.selection import (
    LabelChoice,
    ModelChoice,
    VersionChoice,
    select_model,
)
from service.api.state import ServiceState
from service.contract.answers import ImagePrediction
from service.contract.image import ImageTask
from service.errors import PictureError
from service.images.decoders.pool import Image
from service.images.uploads.uploads import PICTURE_TYPES, Limits, Picture, unpacked
from service.models.runtime.loaded import LoadedModel

Read = BaseModel | PictureError
"""The answer to a picture, or what is wrong with it."""

AT_A_TIME = 16
"""Pictures of one upload that are decoded before they are answered, by one run of the network."""
AT_ONCE = 16 * 1024
"""Bytes of a body that is parsed sooner than a thread could be woken."""


class RefusedPicture(BaseModel):
    """One picture of several that could not be read."""

    file: str
    error: Problem


def picture_router(task: ImageTask) -> APIRouter:
    """Return `POST /v1/<task>/predict`: one picture in, one answer out.

    Several files in, a list of answers in their order out.
    """
    pixels = pixels_payload(task.size)
    height, width = task.size
    of_file: type[ImagePrediction] = create_model(
        f"{task.prediction.__name__}OfFile", __base__=task.prediction, file=(str, ...)
    )

    def listed(files: list[str], results: list[Read], request_id: str) -> bytes:
        return to_json(
            [
                RefusedPicture(file=file, error=problem_of(result, request_id))
                if isinstance(result, PictureError)
                else of_file(file=file, **dict(result))
                for file, result in zip(files, results, strict=True)
            ]
        )

    async def answer(request: Request) -> bytes:
        state, served = state_of(request.scope), select_model(request, task.name)
        declared, media = declared_media_type(request)
        if media == "application/json":
            values = read_pixels(await read_call(request), pixels)
            return (await served.predictions(values))[0].model_dump_json().encode()
        body = await read_body(request)
        settings, executor = state.settings, state.pools.uploads
        limits = Limits(settings.max_pictures, settings.max_body_bytes)
        if len(body) <= AT_ONCE or media in PICTURE_TYPES:
            upload = unpacked(body, declared, limits)
        else:
            upload = await run_in_executor(executor, unpacked, body, declared, limits)
        results: list[Read] = []
        for at in range(0, len(upload.pictures), AT_A_TIME):
            some = upload.pictures[at : at + AT_A_TIME]
            answering = _answers(task, served, some, state)
            if served.may_block or upload.many:
                answering = cancel_on_disconnect(request.receive, answering)
            results += await answering
        if not upload.many:
            if isinstance(results[0], PictureError):
                raise results[0]
            return results[0].model_dump_json().encode()
        files = [picture.file for picture in upload.pictures]
        return await run_in_executor(executor, listed, files, results, request_id(request))

    def predict(
        model: ModelChoice = None,
        version: VersionChoice = None,
        label: LabelChoice = None,
    ) -> BaseModel | list[BaseModel]:
        raise DeclaredOnly

    router = APIRouter(tags=[task.name], route_class=answered_by(answer))
    router.add_api_route(
        f"/v1/{task.name}/predict",
        predict,
        methods=["POST"],
        name=task.name,
        summary=f"{task.title}: one or many pictures",
        description=(
            f"{task.prediction.__doc__}\n\nSend the picture itself as the body, or one or many "
            f"`file` parts of a form, or {width}x{height} pixels as JSON. For several files the "
            "answer is a list in their order; a file that cannot be read has an `error` in its "
            "place. A zip file, as the body or as a `file`, stands for the pictures in it and its "
            "folders."
        ),
        response_model=task.prediction | list[of_file | RefusedPicture],
        openapi_extra={"requestBody": documented_body(pixels)},
    )
    return router


async def _answers(
    task: ImageTask, served: LoadedModel, pictures: list[Picture], state: ServiceState
) -> list[Read]:
    """Return the answer to each picture, or what is wrong with it."""
    images = await _read(task, pictures, state)
    good = [image for image in images if not isinstance(image, PictureError)]
    return _joined(images, await served.predictions(np.stack(good)) if good else [])


async def _read(task: ImageTask, pictures: list[Picture], state: ServiceState) -> list[Image]:
    """Return the decoded pictures.

    One more than can be decoded at once is asked for at a time: the next is there when one is
    decoded, and another upload's picture waits for no more of them.
    """
    if len(pictures) == 1:
        return [await read_picture(task, pictures[0], state)]
    images: dict[int, Image] = {}
    left = iter(enumerate(pictures))

    async def take_turns() -> None:
        for at, picture in left:
            images[at] = await read_picture(task, picture, state)

    turns = [asyncio.ensure_future(take_turns()) for _ in range(state.pools.decoders.count + 1)]
    try:
        await asyncio.gather(*turns)
    finally:
        for turn in turns:
            turn.cancel()
    return [images[at] for at in range(len(pictures))]


def _joined(images: list[Image], answers: Sequence[BaseModel]) -> list[Read]:
    rest = iter(answers)
    return [image if isinstance(image, PictureError) else next(rest) for image in images]
