"""Pictures by upload, by body or as pixels, and their answers."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import to_json
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from service.contract import Payload
from service.direct import answered_by
from service.errors import (
    BlankImage,
    FieldProblem,
    InvalidPayload,
    PictureError,
    UnreadableForm,
    UnsupportedMediaType,
)
from service.problems import Problem, invalid_payload, problem_of
from service.repository import Repository, Served
from service.routes.choice import (
    LabelChoice,
    ModelChoice,
    VersionChoice,
    chosen_model,
    request_id,
)
from service.settings import Settings
from service.task import ImagePrediction, ImageTask

PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif")
ACCEPTED = ("multipart/form-data", *PICTURE_TYPES, "application/json")

Brightness = Annotated[int, Field(strict=True, ge=0, le=255)]
Row = Annotated[list[Brightness], Field(min_length=28, max_length=28)]


class Pixels(Payload):
    """A picture as the network sees it, without any preprocessing."""

    pixels: Annotated[list[Row], Field(min_length=28, max_length=28)] = Field(
        description="28 rows of 28 brightnesses, 0..255, light (255) on black (0)"
    )


class RefusedPicture(BaseModel):
    """One picture of several that could not be read."""

    file: str
    error: Problem


@dataclass(frozen=True)
class Picture:
    """An encoded picture and the name it came under."""

    file: str
    encoded: bytes


def picture_router(task: ImageTask) -> APIRouter:
    """One picture in, one answer out; several files in, a list of answers in their order out."""
    of_file: type[ImagePrediction] = create_model(
        f"{task.prediction.__name__}OfFile", __base__=task.prediction, file=(str, ...)
    )

    async def answer(request: Request) -> bytes:
        repository: Repository = request.app.state.repository
        served = repository.choose(task.name, chosen_model(request), request_id(request))
        settings: Settings = request.app.state.settings
        declared = request.headers.get("content-type")
        media = (declared or "").partition(";")[0].strip().lower()
        if media == "application/json":
            answers = await served.answers(_pixels(await request.body()))
            return answers[0].model_dump_json().encode()
        if media in PICTURE_TYPES:
            pictures = [Picture("body", await request.body())]
        elif media == "multipart/form-data":
            pictures = await _files(request, settings.max_pictures)
        else:
            raise UnsupportedMediaType(declared, ACCEPTED)
        # Decoding lets go of the interpreter; on the event loop it would hold up every other call.
        results = await asyncio.to_thread(_read_and_answer, served, pictures, settings.max_pixels)
        if len(results) == 1:
            if isinstance(results[0], PictureError):
                raise results[0]
            return results[0].model_dump_json().encode()
        return to_json(
            [
                RefusedPicture(
                    file=picture.file, error=problem_of(result, request.state.request_id)
                )
                if isinstance(result, PictureError)
                else of_file(file=picture.file, **dict(result))
                for picture, result in zip(pictures, results, strict=True)
            ]
        )

    def predict(
        model: ModelChoice = None,
        version: VersionChoice = None,
        label: LabelChoice = None,
    ) -> BaseModel | list[BaseModel]:
        raise NotImplementedError("a declaration: see service/direct.py")

    router = APIRouter(tags=[task.name], route_class=answered_by(answer))
    router.add_api_route(
        f"/v1/{task.name}/predict",
        predict,
        methods=["POST"],
        name=task.name,
        summary=f"{task.title}: one or many pictures",
        description=(
            f"{task.prediction.__doc__}\n\nSend the picture itself as the body, or one or many "
            "`file` parts of a form, or 28x28 pixels as JSON. For several files the answer is a "
            "list in their order; a file that cannot be read has an `error` in its place."
        ),
        response_model=task.prediction | list[of_file | RefusedPicture],
        openapi_extra={"requestBody": documented_body()},
    )
    return router


async def _files(request: Request, limit: int) -> list[Picture]:
    try:
        async with request.form(max_files=limit) as form:
            return await _pictures_of(form)
    except HTTPException as error:  # what Starlette makes of a form that it cannot read
        raise UnreadableForm(str(error.detail)) from error


async def _pictures_of(form: FormData) -> list[Picture]:
    problems = [
        FieldProblem(name, "no field of this name (pictures go into 'file')", "a form field")
        for name in form
        if name != "file"
    ]
    parts = form.getlist("file")
    problems += [
        FieldProblem("file", "a file with a file name", "a text field")
        for part in parts
        if not isinstance(part, UploadFile)
    ]
    if not parts:
        problems.append(FieldProblem("file", "one or more pictures", "nothing"))
    if problems:
        raise InvalidPayload(problems)
    return [
        Picture(part.filename or "", await part.read())
        for part in parts
        if isinstance(part, UploadFile)
    ]


def _pixels(body: bytes) -> NDArray[np.uint8]:
    try:
        pixels = Pixels.model_validate_json(body).pixels
    except ValidationError as error:
        raise invalid_payload(error.errors(), known=["pixels"]) from error
    picture = np.array([pixels], np.uint8)
    if picture.min() == picture.max():
        raise BlankImage("nothing is drawn: all pixels are the same")
    return picture


def _read_and_answer(
    served: Served, pictures: list[Picture], max_pixels: int
) -> list[BaseModel | PictureError]:
    assert isinstance(served.task, ImageTask)
    read = [_read(served.task, picture, max_pixels) for picture in pictures]
    good = [image for image in read if not isinstance(image, PictureError)]
    answers = iter(served.predict(np.stack(good)) if good else [])
    return [image if isinstance(image, PictureError) else next(answers) for image in read]


def _read(task: ImageTask, picture: Picture, max_pixels: int) -> NDArray[np.uint8] | PictureError:
    try:
        return task.read(picture.encoded, max_pixels=max_pixels)
    except PictureError as error:
        return error


async def one_picture(request: Request, task: ImageTask) -> NDArray[np.uint8]:
    """The picture of a request, uint8[28, 28], sent in any of the ways that predict takes.

    Raises RequestError, also for several.
    """
    settings: Settings = request.app.state.settings
    declared = request.headers.get("content-type")
    media = (declared or "").partition(";")[0].strip().lower()
    if media == "application/json":
        return np.asarray(_pixels(await request.body())[0])
    if media in PICTURE_TYPES:
        encoded = await request.body()
    elif media == "multipart/form-data":
        pictures = await _files(request, settings.max_pictures)
        if len(pictures) > 1:
            raise InvalidPayload([FieldProblem("file", "one picture", f"{len(pictures)}")])
        encoded = pictures[0].encoded
    else:
        raise UnsupportedMediaType(declared, ACCEPTED)
    read = partial(task.read, encoded, max_pixels=settings.max_pixels)
    picture: NDArray[np.uint8] = await asyncio.to_thread(read)
    return picture


def documented_body() -> dict[str, Any]:
    """What a request with pictures looks like, for OpenAPI."""
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {"file": {"type": "array", "items": file}},
        "required": ["file"],
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            **{media: {"schema": file} for media in PICTURE_TYPES},
            "application/json": {"schema": Pixels.model_json_schema()},
        },
    }
