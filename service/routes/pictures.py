"""Pictures by upload, by body or as pixels, and their answers."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, create_model
from starlette.datastructures import UploadFile

from service.contract import Payload
from service.errors import (
    BlankImage,
    FieldProblem,
    InvalidPayload,
    PictureError,
    UnsupportedMediaType,
)
from service.problems import Problem, invalid_payload, problem_of
from service.repository import Repository
from service.routes.choice import ModelChoice
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

    async def predict(request: Request, model: ModelChoice = None) -> BaseModel | list[BaseModel]:
        repository: Repository = request.app.state.repository
        served = repository.choose(task.name, model)
        settings: Settings = request.app.state.settings
        declared = request.headers.get("content-type")
        media = (declared or "").partition(";")[0].strip().lower()
        if media == "application/json":
            return served.predict(_pixels(await request.body()))[0]
        if media in PICTURE_TYPES:
            pictures = [Picture("body", await request.body())]
        elif media == "multipart/form-data":
            pictures = await _files(request, settings.max_pictures)
        else:
            raise UnsupportedMediaType(declared, ACCEPTED)
        read = await run_in_threadpool(_read, task, pictures, settings.max_pixels)
        if len(read) == 1 and isinstance(read[0], PictureError):
            raise read[0]
        good = [picture for picture in read if not isinstance(picture, PictureError)]
        answers = await run_in_threadpool(served.predict, np.stack(good)) if good else []
        if len(pictures) == 1:
            return answers[0]
        following = iter(answers)
        return [
            RefusedPicture(file=picture.file, error=problem_of(result, request.state.request_id))
            if isinstance(result, PictureError)
            else of_file(file=picture.file, **dict(next(following)))
            for picture, result in zip(pictures, read, strict=True)
        ]

    router = APIRouter(tags=[task.name])
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
        openapi_extra={"requestBody": _documented_body()},
    )
    return router


async def _files(request: Request, limit: int) -> list[Picture]:
    async with request.form(max_files=limit) as form:
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


def _read(
    task: ImageTask, pictures: list[Picture], max_pixels: int
) -> list[NDArray[np.uint8] | PictureError]:
    read: list[NDArray[np.uint8] | PictureError] = []
    for picture in pictures:
        try:
            read.append(task.read(picture.encoded, max_pixels=max_pixels))
        except PictureError as error:
            read.append(error)
    return read


def _documented_body() -> dict[str, Any]:
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
