"""Finding ink: the colours of a picture -> the ink of its one digit, on any paper in any light."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BlankImage
from service.images.pixels.decode import averaged
from service.images.pixels.paper import SQUARE, Grey, above_paper, as_grey, steepness
from service.images.pixels.plain import Plain, plain_paper, risen
from service.images.pixels.strokes import Mask, Place, limits_of, limits_on_plain, strokes

LOOK_AT = 320  # longest side in pixels that is enough to find and separate a digit
AT_LEAST = 112  # a smaller picture is enlarged, so that a step of one pixel is not a whole stroke
INK_AT_LEAST = 80  # the same for ink without its paper; from twice that on it is halved
CLOSER = 0.45  # a digit smaller than this fraction of the picture is found again in a crop
SOFTEST = 0.13  # of the digit's size: a wider edge is of a shadow, or of few enlarged pixels


def find_ink(colours: NDArray[np.uint8]) -> Grey:
    """Separate the one digit in a picture from everything else.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Returns float32[h, w], cropped to the digit's bounding box: 0 = paper, 1 = full ink.
    Raises BlankImage where nothing stands out.
    """
    plain = plain_paper(colours)
    digit = on_any_paper(colours) if plain is None else on_plain_paper(colours, plain)
    if edge_width(digit) > SOFTEST * max(digit.shape):
        raise BlankImage("there are soft shadows or specks, but no stroke")
    return digit


def on_any_paper(colours: NDArray[np.uint8]) -> Grey:
    """Return the digit's ink on paper that has to be estimated."""
    seen = resized(colours)
    place, digit = separated(above_paper(seen))
    if max(digit.shape) < CLOSER * max(seen.shape[:2]):
        scale = max(colours.shape[:2]) / max(seen.shape[:2])
        _, digit = separated(above_paper(resized(colours[closer(place, scale, colours.shape)])))
    return digit


def on_plain_paper(colours: NDArray[np.uint8], plain: Plain) -> Grey:
    """Return the digit's ink on paper of a known colour, from the rectangle with ink only."""
    there = colours[plain.place]
    seen = reduced(there)
    scale = max(there.shape[:2]) / max(seen.shape[:2])
    rows, columns = (round(part.start / scale) for part in plain.place)
    height, width = (round(side / scale) for side in colours.shape[:2])
    ink = risen(seen, plain)
    limits = limits_on_plain(ink, height * width)
    place, digit = cut_out(ink, *strokes(ink, limits, (rows, columns), (height, width)))
    if max(digit.shape) < CLOSER * max(ink.shape):
        there = there[closer(place, scale, there.shape)]
        ink = risen(reduced(there), plain)
        _, digit = cut_out(ink, *strokes(ink, limits_on_plain(ink, ink.size)))
    return digit


def separated(ink: Grey) -> tuple[Place, Grey]:
    """Find the digit once: return its bounding box and its ink there, 0 = paper, 1 = full ink."""
    return cut_out(ink, *strokes(ink, limits_of(ink)))


def cut_out(ink: Grey, place: Place, mask: Mask, full: float) -> tuple[Place, Grey]:
    """Return the bounding box of a mask that `strokes` found, and its ink there, 1 = full ink."""
    rows, columns = place
    # the anti-aliased rim lies just outside the mask
    rim = cv2.dilate(mask, SQUARE)
    digit = np.clip(ink[place] * np.float32(1 / full), 0, 1) * rim
    left, top, width, height = cv2.boundingRect((digit > 0).view(np.uint8))
    digit = digit[top : top + height, left : left + width]
    left, top = left + columns.start, top + rows.start
    return (slice(top, top + height), slice(left, left + width)), digit


def resized(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize the longest side to AT_LEAST..LOOK_AT pixels, and keep the aspect ratio."""
    size = max(colours.shape[:2])
    scale = min(LOOK_AT, max(size, AT_LEAST)) / size
    if scale == 1:
        return colours
    height, width = (max(1, round(side * scale)) for side in colours.shape[:2])
    return averaged(colours, height, width) if scale < 1 else enlarged(colours, height, width)


def reduced(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve or enlarge to a longest side of INK_AT_LEAST to twice that; keep the aspect ratio."""
    height, width = colours.shape[:2]
    halvings = (max(height, width) // INK_AT_LEAST).bit_length() - 1
    if halvings < 0:
        scale = INK_AT_LEAST / max(height, width)
        return enlarged(colours, max(1, round(height * scale)), max(1, round(width * scale)))
    return averaged(colours, max(1, height >> halvings), max(1, width >> halvings))


def enlarged(colours: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a larger picture, interpolated between the pixels."""
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def closer(place: Place, scale: float, shape: tuple[int, ...]) -> Place:
    """Return the rectangle around a digit in which it is found again, in a picture of this shape.

    `place` is where the digit was found, at a size at which one pixel was `scale` of the picture's.
    """
    rows, columns = place
    margin = 0.35 * max(rows.stop - rows.start, columns.stop - columns.start)
    return (
        span(rows.start - margin, rows.stop + margin, scale, shape[0]),
        span(columns.start - margin, columns.stop + margin, scale, shape[1]),
    )


def span(start: float, stop: float, scale: float, size: int) -> slice:
    """Convert rows or columns from one scale to another, kept inside the picture."""
    return slice(max(0, int(start * scale)), min(size, int(np.ceil(stop * scale))))


def edge_width(ink: Grey) -> float:
    """Return the mean number of pixels over which ink fades into paper, along the outline."""
    # Add paper around the digit's box, as an upright bar drawn by a program fills its box.
    ink = as_grey(cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT))
    solid = (ink > 0.5).view(np.uint8)
    outline = cv2.subtract(cv2.dilate(solid, SQUARE), cv2.erode(solid, SQUARE, borderValue=0))
    return 1 / max(steepness(ink, outline), 1e-6)
