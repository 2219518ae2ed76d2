"""The body of an upload, as one picture or several: a form, a picture, a zip file or pixels."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from service.api.http.requests import read_body
from service.contract.fields import Payload
from service.contract.image import ImageTask
from service.contract.messages import invalid_payload
from service.contract.parsing import check_size, reject_duplicate_keys
from service.errors import (
    BlankImage,
    FieldProblem,
    InvalidPayload,
    PictureError,
    UnsupportedMediaType,
)
from service.images.decoders.pool import DecoderPool, Image
from service.images.uploads.uploads import PICTURE_TYPES, UPLOADED, Limits, Picture, unpacked
from service.images.uploads.zip_files import ZIP_TYPES
from service.settings.settings import Settings

T = TypeVar("T")


P = ParamSpec("P")


ACCEPTED = (*UPLOADED, "application/json")


Brightness = Annotated[int, Field(strict=True, ge=0, le=255)]


Row = Annotated[list[Brightness], Field(min_length=28, max_length=28)]


class Pixels(Payload):
    """A picture as the network sees it, without any preprocessing."""

    pixels: Annotated[list[Row], Field(min_length=28, max_length=28)] = Field(
        description="28 rows of 28 brightnesses, 0..255, light (255) on black (0)"
    )


# For what would hold up the event loop: large forms, zip files, several pictures' answers.
UPLOAD_EXECUTOR = ThreadPoolExecutor(1, thread_name_prefix="pictures")


def declared_media_type(request: Request) -> tuple[str, str]:
    """The content type as it came, and without its parameters. Raises UnsupportedMediaType."""
    declared = request.headers.get("content-type")
    media = (declared or "").partition(";")[0].strip().lower()
    if declared is None or media not in ACCEPTED:
        raise UnsupportedMediaType(declared, ACCEPTED)
    return declared, media


def read_pixels(body: bytes) -> NDArray[np.uint8]:
    """Return the picture of a body `{"pixels": [...]}`, uint8[1, 28, 28]. Raises RequestError."""
    try:
        payload = Pixels.model_validate_json(check_size(body))
    except ValidationError as error:
        raise invalid_payload(error.errors(), known=["pixels"]) from error
    reject_duplicate_keys(body, payload)
    picture = np.array([payload.pixels], np.uint8)
    if picture.min() == picture.max():
        raise BlankImage("nothing is drawn: all pixels are the same")
    return picture


async def run_in_executor(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Return what a function gives on the thread for large uploads."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(UPLOAD_EXECUTOR, partial(function, *args, **options))


async def read_picture(
    task: ImageTask, picture: Picture, decoders: DecoderPool, max_pixels: int
) -> Image:
    """Return one decoded picture, or the PictureError that says what is wrong with it."""
    try:
        encoded = await run_in_executor(picture.encoded) if picture.unpacked else picture.encoded()
    except PictureError as error:
        return error
    return await decoders.read(task.reading, encoded, max_pixels)


async def one_picture(request: Request, task: ImageTask) -> NDArray[np.uint8]:
    """The picture of a request, uint8[28, 28], sent in any of the ways that predict takes.

    Raises RequestError, also for several.
    """
    settings: Settings = request.app.state.settings
    declared, media = declared_media_type(request)
    body = await read_body(request)
    if media == "application/json":
        return np.asarray(read_pixels(body)[0])
    limits = Limits(settings.max_pictures, settings.max_body_bytes)
    pictures = (await run_in_executor(unpacked, body, declared, limits)).pictures
    if len(pictures) != 1:
        raise InvalidPayload([FieldProblem("file", "one picture", f"{len(pictures)}")])
    image = await read_picture(task, pictures[0], request.app.state.readers, settings.max_pixels)
    if isinstance(image, PictureError):
        raise image
    return image


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
            **{media: {"schema": file} for media in (*PICTURE_TYPES, ZIP_TYPES[0])},
            "application/json": {"schema": Pixels.model_json_schema()},
        },
    }
