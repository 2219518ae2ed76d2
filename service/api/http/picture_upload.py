"""The body of an upload, as one picture or several: a form, a picture, a zip file or pixels."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import cache, partial
from typing import Annotated, Any, ParamSpec, TypeVar

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from pydantic import Field, ValidationError, create_model

from service.api.http.requests import header, media_type, read_body, read_call, state_of
from service.api.state import ServiceState
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
from service.images.decoders.pool import Image
from service.images.uploads.uploads import PICTURE_TYPES, UPLOADED, Limits, Picture, unpacked
from service.images.uploads.zip_files import ZIP_TYPES

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

ACCEPTED = (*UPLOADED, "application/json")

Brightness = Annotated[int, Field(strict=True, ge=0, le=255)]


class Pixels(Payload):
    """A picture as the network sees it, without any preprocessing."""

    pixels: list[list[Brightness]]


@cache
def pixels_payload(size: tuple[int, int]) -> type[Pixels]:
    """Return the payload for pictures of `size`, rows and columns."""
    height, width = size
    row = Annotated[list[Brightness], Field(min_length=width, max_length=width)]
    rows: Any = Annotated[list[row], Field(min_length=height, max_length=height)]
    text = f"{height} rows of {width} brightnesses, 0..255, light (255) on black (0)"
    return create_model(
        "Pixels", __base__=Pixels, __doc__=Pixels.__doc__, pixels=(rows, Field(description=text))
    )


def declared_media_type(request: Request) -> tuple[str, str]:
    """Return the content type as sent, and without parameters. Raises UnsupportedMediaType."""
    declared, media = header(request.scope, b"content-type"), media_type(request.scope)
    if declared is None or media not in ACCEPTED:
        raise UnsupportedMediaType(declared, ACCEPTED)
    return declared, media


def read_pixels(body: bytes, pixels: type[Pixels]) -> NDArray[np.uint8]:
    """Return the picture of a body `{"pixels": [...]}`, uint8[1, height, width].

    Raises RequestError.
    """
    try:
        payload = pixels.model_validate_json(check_size(body))
    except ValidationError as error:
        raise invalid_payload(error.errors(), known=["pixels"]) from error
    reject_duplicate_keys(body, payload)
    picture = np.array([payload.pixels], np.uint8)
    if picture.min() == picture.max():
        raise BlankImage("nothing is drawn: all pixels are the same")
    return picture


async def run_in_executor(
    executor: Executor,
    function: Callable[Arguments, Result],
    *args: Arguments.args,
    **options: Arguments.kwargs,
) -> Result:
    """Return the result of a function that runs on a thread of `executor`."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(executor, partial(function, *args, **options))


async def read_picture(task: ImageTask, picture: Picture, state: ServiceState) -> Image:
    """Return one decoded picture, or the PictureError that says what is wrong with it."""
    try:
        if picture.unpacked:
            encoded = await run_in_executor(state.pools.uploads, picture.encoded)
        else:
            encoded = picture.encoded()
    except PictureError as error:
        return error
    return await state.pools.decoders.read(task.reading, task.size, encoded)


async def one_picture(request: Request, task: ImageTask) -> NDArray[np.uint8]:
    """Return the picture of a request, uint8 of the task's size, sent in any way of predict.

    Raises RequestError, also for several.
    """
    state = state_of(request.scope)
    settings, executor = state.settings, state.pools.uploads
    declared, media = declared_media_type(request)
    if media == "application/json":
        return np.asarray(read_pixels(await read_call(request), pixels_payload(task.size))[0])
    body = await read_body(request)
    limits = Limits(settings.max_pictures, settings.max_body_bytes)
    pictures = (await run_in_executor(executor, unpacked, body, declared, limits)).pictures
    if len(pictures) != 1:
        raise InvalidPayload([FieldProblem("file", "one picture", f"{len(pictures)}")])
    image = await read_picture(task, pictures[0], state)
    if isinstance(image, PictureError):
        raise image
    return image


def documented_body(pixels: type[Pixels]) -> dict[str, Any]:
    """Return the body of a request with pictures, or with these pixels, for OpenAPI."""
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
            "application/json": {"schema": pixels.model_json_schema()},
        },
    }
