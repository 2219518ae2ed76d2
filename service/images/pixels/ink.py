"""Colours -> ink: where somebody drew one digit, whatever the paper, pen and light."""

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
INK_AT_LEAST = 80  # the same of ink without its paper; from twice that on it is halved
CLOSER = 0.45  # a digit smaller than this share of the picture gets a second, closer look
SOFTEST = 0.13  # of the digit's size: a wider edge is a shadow's, or a few pixels' enlarged


def find_ink(colours: NDArray[np.uint8]) -> Grey:
    """Separate the one digit in a picture from everything else.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Returns float32[h, w], the digit's bounding box and nothing else: 0 = paper, 1 = full ink.
    Raises BlankImage where nothing stands out.
    """
    plain = plain_paper(colours)
    digit = on_any_paper(colours) if plain is None else on_plain_paper(colours, plain)
    if edge_width(digit) > SOFTEST * max(digit.shape):
        raise BlankImage("there are soft shadows or specks, but no stroke")
    return digit


def on_any_paper(colours: NDArray[np.uint8]) -> Grey:
    """The digit's ink, where the paper has to be found out too."""
    seen = resized(colours)
    place, digit = separated(above_paper(seen))
    if max(digit.shape) < CLOSER * max(seen.shape[:2]):
        scale = max(colours.shape[:2]) / max(seen.shape[:2])
        _, digit = separated(above_paper(resized(colours[closer(place, scale, colours.shape)])))
    return digit


def on_plain_paper(colours: NDArray[np.uint8], plain: Plain) -> Grey:
    """The digit's ink, where the paper is known: only the rectangle with ink is looked at."""
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
    """One look: where the digit is, and only its ink there, 0 = paper, 1 = full ink."""
    return cut_out(ink, *strokes(ink, limits_of(ink)))


def cut_out(ink: Grey, place: Place, mask: Mask, full: float) -> tuple[Place, Grey]:
    """The bounding box of what `strokes` found, and only its ink there, 1 = full ink."""
    rows, columns = place
    # the anti-aliased rim lies just outside the mask
    rim = cv2.dilate(mask, SQUARE)
    digit = np.clip(ink[place] * np.float32(1 / full), 0, 1) * rim
    left, top, width, height = cv2.boundingRect((digit > 0).view(np.uint8))
    digit = digit[top : top + height, left : left + width]
    left, top = left + columns.start, top + rows.start
    return (slice(top, top + height), slice(left, left + width)), digit


def resized(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring the longest side to at most LOOK_AT and at least AT_LEAST pixels, aspect kept."""
    size = max(colours.shape[:2])
    scale = min(LOOK_AT, max(size, AT_LEAST)) / size
    if scale == 1:
        return colours
    height, width = (max(1, round(side * scale)) for side in colours.shape[:2])
    return averaged(colours, height, width) if scale < 1 else enlarged(colours, height, width)


def reduced(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Halve to a longest side of INK_AT_LEAST to twice that, or enlarge to it, aspect kept."""
    height, width = colours.shape[:2]
    halvings = (max(height, width) // INK_AT_LEAST).bit_length() - 1
    if halvings < 0:
        scale = INK_AT_LEAST / max(height, width)
        return enlarged(colours, max(1, round(height * scale)), max(1, round(width * scale)))
    return averaged(colours, max(1, height >> halvings), max(1, width >> halvings))


def enlarged(colours: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A larger picture, smooth between the pixels."""
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def closer(place: Place, scale: float, shape: tuple[int, ...]) -> Place:
    """The rectangle around a digit that a second look is at, in a picture of this shape.

    `place` is where the digit was seen, at a size at which one pixel was `scale` of the picture's.
    """
    rows, columns = place
    margin = 0.35 * max(rows.stop - rows.start, columns.stop - columns.start)
    return (
        span(rows.start - margin, rows.stop + margin, scale, shape[0]),
        span(columns.start - margin, columns.stop + margin, scale, shape[1]),
    )


def span(start: float, stop: float, scale: float, size: int) -> slice:
    """Rows or columns from one scale to another, kept inside the picture."""
    return slice(max(0, int(start * scale)), min(size, int(np.ceil(stop * scale))))


def edge_width(ink: Grey) -> float:
    """Pixels over which ink fades into paper, on the average along the outline."""
    # Around the digit's box is paper; an upright bar drawn by a program fills its own.
    ink = as_grey(cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT))
    solid = (ink > 0.5).view(np.uint8)
    outline = cv2.subtract(cv2.dilate(solid, SQUARE), cv2.erode(solid, SQUARE, borderValue=0))
    return 1 / max(steepness(ink, outline), 1e-6)
