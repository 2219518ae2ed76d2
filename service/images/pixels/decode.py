"""Decoding: bytes -> uint8[height, width] or uint8[height, width, 3], upright and opaque."""

import re
import zlib
from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from service.errors import BlankImage, ImageTooLarge, UnreadableImage

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
ENOUGH = 1000
"""The longest side, in pixels, to which a picture is decoded: a digit in a corner still has 100.

It is a quarter of the 4000 pixels of a phone's photo of 12 megapixels.
"""

ORIENTATION = 0x0112  # the EXIF tag; its values 1..8 are in the EXIF 2.3 specification, 4.6.4
ONE_COLOUR = 48  # of 255: shades closer than this are of one pen
SEE_THROUGH = 250  # an alpha below this lets the background show


def decode(
    encoded: bytes,
    max_pixels: int,
    flatten: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Decode a picture, `flatten` it where it is transparent and turn it upright.

    `flatten` takes 1, 3 or 4 channels (grey, RGB, RGBA) and returns 1 or 3.

    Returns uint8[height, width] for a grey picture, else uint8[height, width, 3] (RGB), the longest
    side at most about 2 * ENOUGH. Raises UnreadableImage, ImageTooLarge or BlankImage.
    """
    image = open_header(encoded, max_pixels)
    try:
        # A JPEG decodes straight to 1/2, 1/4 or 1/8 of its size, which saves most of the time.
        width, height = (max(1, side * ENOUGH // max(image.size)) for side in image.size)
        image.draft(None, (width, height))
        if image.format == "PNG":
            check_sums(encoded)
        image.load()
        # Read EXIF after the pixels. In a PNG it may follow them, so that reading it loads them,
        # and `orientation` would hide their damage among errors of the metadata.
        turn = orientation(image)
        pixels = smaller(channels(image))
    except MemoryError:
        raise ImageTooLarge(image.width * image.height, max_pixels) from None
    # Pillow's decoders answer damaged files with a dozen kinds of exception, and document none.
    except Exception as damage:
        raise UnreadableImage(f"the {image.format} picture is damaged: {damage}") from damage
    return upright(grey_if_grey(flatten(pixels)), turn)


def open_header(encoded: bytes, max_pixels: int) -> Image.Image:
    """Read the header only: the format must be known and the size within `max_pixels`."""
    try:
        image = Image.open(BytesIO(encoded), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
        # Pillow's own, higher limit was exceeded; only its message has the number of pixels.
        found = re.search(r"\d+", str(bomb))
        raise ImageTooLarge(int(found[0]) if found else max_pixels + 1, max_pixels) from None
    except UnidentifiedImageError:
        raise UnreadableImage(f"not a picture in any of {', '.join(FORMATS)}") from None
    except Exception as damage:  # see decode
        raise UnreadableImage(f"the picture's header is damaged: {damage}") from damage
    if image.width * image.height > max_pixels:
        raise ImageTooLarge(image.width * image.height, max_pixels)
    return image


def check_sums(png: bytes) -> None:
    """Check the checksums of a PNG file's pixels. Raises OSError if one is wrong.

    Pillow does not check them, and decodes damaged pixels into others.
    """
    at = 8  # a file is 8 bytes and then chunks: length, type, content, sum (PNG specification, 5.3)
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            written = int.from_bytes(png[end : end + 4])
            if zlib.crc32(memoryview(png)[at + 4 : end]) != written:
                raise OSError("the checksum of its pixels is wrong")
        at = end + 4


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8; 1 (upright) where there is none or it is not valid."""
    try:
        turn = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a good picture is not refused for broken metadata
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def channels(image: Image.Image) -> NDArray[np.uint8]:
    """Convert any mode of Pillow to uint8 with 1 (grey), 3 (RGB) or 4 (RGBA) channels."""
    if image.mode.startswith("I"):  # 16-bit PNG; Pillow's convert would clip it instead of scaling
        deep = np.asarray(image).astype(np.float32)
        return np.asarray(deep * (255.0 / max(255.0, float(deep.max()))), dtype=np.uint8)
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image)


def smaller(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average down by the whole number that leaves the longest side at ENOUGH pixels or above."""
    height, width = pixels.shape[:2]
    factor = max(height, width) // ENOUGH
    if factor < 2:
        return pixels
    return averaged(pixels, max(1, height // factor), max(1, width // factor))


def averaged(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a smaller picture, each pixel the mean of those it covers."""
    picture = halved(picture, height, width)
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def halved(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Average two by two pixels, repeatedly, while at least `height` and `width` are left.

    OpenCV does this 20 times as fast as it averages by any other factor.
    """
    while picture.shape[0] >= 2 * height and picture.shape[1] >= 2 * width:
        size = ((picture.shape[1] + 1) // 2, (picture.shape[0] + 1) // 2)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def opaque(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Remove transparency in a way that keeps the ink visible.

    Where most of the picture is transparent, or its visible pixels have one colour only, their
    shape is the drawing, whatever its colour: alpha becomes the picture. Otherwise it is a photo
    with holes (round corners, say), and the holes get the photo's median colour.
    """
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    alpha = np.asarray(cv2.extractChannel(pixels, 3), dtype=np.uint8)
    if alpha.max() < 8:
        raise BlankImage("the picture is transparent everywhere")
    solid = np.count_nonzero(alpha >= SEE_THROUGH)
    if solid < 0.5 * alpha.size:
        return alpha
    colours = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), dtype=np.uint8)
    if solid == alpha.size:
        return colours
    seen = colours[alpha > 127]
    if float(np.ptp(np.percentile(seen, (2, 98), axis=0), axis=0).max()) < ONE_COLOUR:
        return alpha
    return laid_on(np.median(seen, axis=0), pixels)


def laid_on(paper: NDArray[np.float64], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend RGBA onto paper of one colour (float64[3], 0..255) and return RGB."""
    share = pixels[..., 3:] / np.float32(255)
    return np.asarray(pixels[..., :3] * share + paper * (1 - share), dtype=np.uint8)


def grey_if_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce three equal channels to one, which is a third of the work for every later step."""
    if pixels.ndim == 2:
        return pixels
    some = pixels[::16, ::16]
    if (some[..., :2] != some[..., 1:]).any():  # true for most photos
        return pixels
    red, green, blue = (np.asarray(channel, dtype=np.uint8) for channel in cv2.split(pixels))
    return red if np.array_equal(red, green) and np.array_equal(green, blue) else pixels


def upright(pixels: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Undo the camera's rotation: mirror and rotate by EXIF orientation 1..8."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
