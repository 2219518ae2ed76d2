"""A decoder process, which can open no file, decodes whatever its functions do."""

import asyncio
import io
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile
from PIL.PngImagePlugin import PngInfo

from service.errors import PictureError
from service.images.decoders.decoder_process import DecoderSettings
from service.images.decoders.pool import DecoderPool
from service.images.decoders.pool import Image as Decoded
from service.observability.metrics.shared_counters import SharedCounters
from service.settings.limits import QueueLimits
from tests.service.api.test_pictures import encoded, seven

READERS = "service.images.pixels:read_digit", "service.images.pixels.garment:read_garment"


def variants() -> Iterator[bytes]:
    """Yield a 7 in every format, with everything that its file may hold beside it."""
    picture = Image.fromarray(seven()).convert("RGB")
    exif, png_text = Image.Exif(), PngInfo()
    exif[0x0112], exif[0x9286] = 3, b"UNICODE\0a"
    png_text.add_itxt("title", "sieben", "de", "ü", zip=True)
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    frames: dict[str, Any] = {"save_all": True, "append_images": [picture.rotate(9)]}
    beside: dict[str, Any] = {"exif": exif, "icc_profile": profile}
    files: list[tuple[str, str, dict[str, Any]]] = [
        ("PNG", "RGB", beside | {"pnginfo": png_text}),
        ("PNG", "RGB", frames),
        ("JPEG", "RGB", beside | {"xmp": b"<x/>", "comment": "7", "progressive": True}),
        ("JPEG", "CMYK", {}),
        ("MPO", "RGB", frames),
        ("WEBP", "RGB", beside | {"lossless": True}),
        ("WEBP", "RGB", frames | {"xmp": b"<x/>"}),
        ("GIF", "P", frames | {"comment": "7"}),
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")),
        *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB")),
    ]
    for kind, mode, options in files:
        buffer = io.BytesIO()
        picture.convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, kind, **options)
        yield buffer.getvalue()
    yield from (b"", b"no picture", encoded(seven())[:200], b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X")


def here(name: str, picture: bytes) -> Decoded:
    """Return what a function makes of a picture in this process."""
    try:
        image: Decoded = resolve_name(name)(picture)
    except PictureError as error:
        return error
    return image


def test_a_process_decodes_whatever_its_functions_decode() -> None:
    """Everything that any picture needs is imported before."""
    settings = DecoderSettings(READERS, 50_000_000, 2**26)
    pictures = [(name, picture) for name in READERS for picture in variants()]

    async def run() -> list[Decoded]:
        decoders = DecoderPool(1, settings, QueueLimits(seconds=60), SharedCounters())
        images = [await decoders.read(name, (28, 28), picture) for name, picture in pictures]
        await decoders.close()
        return images

    for there, (name, picture) in zip(asyncio.run(run()), pictures, strict=True):
        expected = here(name, picture)
        if isinstance(expected, PictureError):
            assert (type(there), str(there)) == (type(expected), str(expected))
        else:
            assert isinstance(there, np.ndarray), there
            assert np.array_equal(there, expected)


AUDIT = """
import pickle, sys
from pathlib import Path
from pkgutil import resolve_name
import service.images.decoders.decoder_process
from service.errors import PictureError
readers = [resolve_name(name) for name in pickle.loads(bytes.fromhex(sys.argv[2]))]
pictures = pickle.load(open(sys.argv[1], "rb"))
opened = set()
sys.addaudithook(lambda event, about: event in ("open", "import") and opened.add(str(about[0])))
for picture in pictures:
    for read in readers:
        try:
            read(picture)
        except PictureError:
            pass
print(sorted(opened))
"""


def damaged(pictures: list[bytes], count: int) -> Iterator[bytes]:
    """Yield pictures with some wrong bytes, most of them in their headers."""
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = bytearray(pictures[number % len(pictures)])
        for _ in range(rng.integers(1, 8)):
            if picture:
                picture[rng.integers(min(len(picture), 60 << int(rng.integers(8))))] = rng.integers(
                    256
                )
        yield bytes(picture)


def test_no_picture_needs_a_file(tmp_path: Path) -> None:
    """Whole, damaged or made of noise: nothing is opened or imported when it is decoded."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 60, (99, 2))
    noise = [rng.integers(0, 256, (*size, 4)).astype(np.uint8) for size in sizes.tolist()]
    for number, picture in enumerate(noise):
        picture[rng.random(picture.shape[:2]) < rng.random()] = 255
        picture[..., 3] |= np.uint8(255 * (number % 3 == 0))
    pictures = [*variants(), *map(encoded, noise)]
    file = tmp_path / "pictures"
    file.write_bytes(pickle.dumps([*pictures, *damaged(pictures, 3000)]))
    command = [sys.executable, "-W", "ignore", "-c", AUDIT, str(file), pickle.dumps(READERS).hex()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
