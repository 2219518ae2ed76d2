"""Decoding: bytes -> uint8[height, width] or uint8[height, width, 3], upright and opaque."""

import re
import zlib
from collections.abc import Callable
from importlib import import_module
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from service.errors import BlankImage, ImageTooLarge, UnreadableImage

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 50_000_000
"""Width times height of the largest picture that is decoded, unless a caller says otherwise."""
MAX_BYTES = 272 * 2**20
"""Memory that decoding a picture takes at most, unless a caller says otherwise."""
MOST_SCANS = 32
"""Scans of a JPEG, each of which goes over every pixel: cameras write 1, progressive files 10."""
ENOUGH = 1000
"""The longest side, in pixels, to which a picture is decoded: a digit in a corner still has 100.

It is a quarter of the 4000 pixels of a phone's photo of 12 megapixels.
"""

TILE = 2**19
"""Pixels of a large picture that are converted at a time: never the whole in two forms."""
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Bytes of a pixel in Pillow's memory, by mode; any other has 4."""
WEBP_BYTES = 17
"""Bytes of a pixel while a WebP is decoded: libwebp's canvases and pixels, and Pillow's copies."""
LINE_BYTES = 16
"""Bytes of a pixel of one line: a decoder of PNG keeps two of them, of 8 bytes at most."""
REST = 20 * 2**20
"""Bytes for a tile, and for all later steps, which get at most 2 * ENOUGH pixels a side."""

# The end, and markers with a length; libjpeg skips those below C0, or refuses the picture for them.
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

NO_MEMORY = "decoding the picture takes more memory than the process may have"

ORIENTATION = 0x0112  # the EXIF tag; its values 1..8 are in the EXIF 2.3 specification, 4.6.4
ONE_COLOUR = 48  # of 255: shades closer than this are of one pen
SEE_THROUGH = 250  # an alpha below this lets the background show

# A decoder process can open no file: here is what would be imported by the first that needs it.
Image.init()
import_module("numpy.ma")


def decode(
    encoded: bytes,
    max_pixels: int,
    max_bytes: int,
    flatten: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Decode a picture, `flatten` it where it is transparent and turn it upright.

    `flatten` takes 1, 3 or 4 channels (grey, RGB, RGBA) and returns 1 or 3.

    Returns uint8[height, width] for a grey picture, else uint8[height, width, 3] (RGB), the longest
    side at most about 2 * ENOUGH. Raises UnreadableImage, ImageTooLarge or BlankImage.
    """
    needed = REST + len(encoded)
    if size := webp_size(encoded):  # Pillow allocates both canvases when it reads the header
        check_pixels(size[0] * size[1], max_pixels)
        check_memory(needed + WEBP_BYTES * size[0] * size[1], max_bytes)
    image = open_header(encoded, max_pixels)
    try:
        if image.format in ("JPEG", "MPO"):  # MPO: several JPEGs in a file, by which it begins
            needed += coefficients(image, encoded)
            # A JPEG decodes straight to 1/2, 1/4 or 1/8 of its size, which saves most of the time.
            width, height = (max(1, side * ENOUGH // max(image.size)) for side in image.size)
            image.draft(None, (width, height))
        needed += LINE_BYTES * image.width
        needed += (STORED.get(image.mode, 4) + 1) * image.width * image.height
        check_memory(needed, max_bytes)
        if image.format == "PNG":
            check_sums(encoded)
        image.load()
        # Read EXIF after the pixels. In a PNG it may follow them, so that reading it loads them,
        # and `orientation` would hide their damage among errors of the metadata.
        turn = orientation(image)
        pixels = smaller(image)
    except ImageTooLarge:
        raise
    except MemoryError:
        raise ImageTooLarge(NO_MEMORY) from None
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
        raise too_many(int(found[0]) if found else max_pixels + 1, max_pixels) from None
    except MemoryError:
        raise ImageTooLarge(NO_MEMORY) from None
    except UnidentifiedImageError:
        raise UnreadableImage(f"not a picture in any of {', '.join(FORMATS)}") from None
    except Exception as damage:  # see decode
        raise UnreadableImage(f"the picture's header is damaged: {damage}") from damage
    check_pixels(image.width * image.height, max_pixels)
    return image


def check_pixels(pixels: int, limit: int) -> None:
    """Raises ImageTooLarge above the limit."""
    if pixels > limit:
        raise too_many(pixels, limit)


def too_many(pixels: int, limit: int) -> ImageTooLarge:
    """Return the error of a picture above the limit."""
    return ImageTooLarge(f"the picture has {pixels:,} pixels, the limit is {limit:,}")


def check_memory(needed: int, limit: int) -> None:
    """Raises ImageTooLarge above the limit; both are bytes."""
    if needed > limit:
        raise ImageTooLarge(
            f"decoding the picture takes {needed:,} bytes of memory,"
            f" the limit is {limit:,} (FORETELL_MAX_PICTURE_BYTES)"
        )


def webp_size(encoded: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP by its header (RFC 9649, 2.5 to 2.7), None of any other."""
    if encoded[:4] != b"RIFF" or encoded[8:12] != b"WEBP" or len(encoded) < 30:
        return None
    if encoded[12:16] == b"VP8X":
        width, height = (int.from_bytes(encoded[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    lossless = encoded[12:16] == b"VP8L"
    both = int.from_bytes(encoded[21:25] if lossless else encoded[26:30], "little")
    if lossless:
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    return both & 0x3FFF, both >> 16 & 0x3FFF


def coefficients(image: Image.Image, jpeg: bytes) -> int:
    """Return the bytes of the coefficients of a JPEG that libjpeg keeps until it has every scan.

    Raises ImageTooLarge for more than MOST_SCANS.
    """
    scans = count_scans(jpeg)
    if scans > MOST_SCANS:
        raise ImageTooLarge(f"the JPEG picture has {scans:,} scans, the limit is {MOST_SCANS}")
    samples = len(image.getbands()) * image.width * image.height
    return 2 * samples if scans > 1 else 0


def count_scans(jpeg: bytes) -> int:
    """Return the number of scans of a JPEG (ITU-T T.81, annex B.1.1); at most those it may have."""
    if jpeg.count(START_OF_SCAN) <= 1:  # most; the search below takes longer
        return 1
    scans = at = 0
    while (marker := MARKER.search(jpeg, at)) and marker[0] != END_OF_IMAGE:
        scans += marker[0] == START_OF_SCAN
        at = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2])
    return scans


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


def channels(image: Image.Image, brightest: float) -> NDArray[np.uint8]:
    """Convert any mode of Pillow to uint8 with 1 (grey), 3 (RGB) or 4 (RGBA) channels.

    `brightest` is the largest value of the whole picture, of which `image` may be a part.
    """
    if image.mode.startswith("I"):  # 16-bit PNG; Pillow's convert would clip it instead of scaling
        deep = np.asarray(image).astype(np.float32)
        return np.asarray(deep * (255.0 / max(255.0, brightest)), dtype=np.uint8)
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.asarray(image)


def smaller(image: Image.Image) -> NDArray[np.uint8]:
    """Average down by the whole number that leaves the longest side at ENOUGH pixels or above.

    A large picture is converted and halved a tile at a time, which takes a sixth of the memory.
    """
    width, height = image.size
    brightest = float(np.max(image.getextrema())) if image.mode.startswith("I") else 0.0
    factor = max(width, height) // ENOUGH
    if factor < 2:
        return channels(image, brightest)
    columns = min(width, TILE)
    rows = max(2, TILE // columns // 2 * 2)  # even, or a pixel would be shared by two tiles
    halves = None
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            box = left, top, min(left + columns, width), min(top + rows, height)
            tile = half(even(channels(image.crop(box), brightest)))
            if halves is None:
                shape = (height + 1) // 2, (width + 1) // 2, *tile.shape[2:]
                halves = np.empty(shape, np.uint8)
            y, x = top // 2, left // 2
            halves[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    assert halves is not None
    return averaged(halves, max(1, height // factor), max(1, width // factor))


def even(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column where there is an odd number of them."""
    bottom, right = (side % 2 for side in tile.shape[:2])
    if not bottom and not right:
        return tile
    border = cv2.copyMakeBorder(tile, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(border, np.uint8)


def averaged(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a smaller picture, each pixel the mean of those it covers."""
    picture = halved(picture, height, width)
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def halved(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Average two by two pixels, repeatedly, while at least `height` and `width` are left."""
    while picture.shape[0] >= 2 * height and picture.shape[1] >= 2 * width:
        picture = half(picture)
    return picture


def half(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average two by two pixels. OpenCV does this 20 times as fast as by any other factor."""
    size = (picture.shape[1] + 1) // 2, (picture.shape[0] + 1) // 2
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


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
