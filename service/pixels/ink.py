"""Colours -> ink: where somebody drew one digit, whatever the paper, pen and light."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BlankImage
from service.pixels.decode import averaged
from service.pixels.paper import Grey, above_paper, steepness
from service.pixels.strokes import Place, strokes

LOOK_AT = 320  # longest side in pixels that is enough to find and separate a digit
AT_LEAST = 112  # a smaller picture is enlarged, so that a step of one pixel is not a whole stroke
CLOSER = 0.45  # a digit smaller than this share of the picture gets a second, closer look
SOFTEST = 0.13  # of the digit's size: an edge wider than that is a shadow's, not a pen's


def find_ink(colours: NDArray[np.uint8]) -> Grey:
    """Separate the one digit in a picture from everything else.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Returns float32[h, w], the digit's bounding box and nothing else: 0 = paper, 1 = full ink.
    Raises BlankImage where nothing stands out.
    """
    seen = resized(colours)
    (rows, columns), ink = separated(seen)
    size = max(ink.shape)
    if size < CLOSER * max(seen.shape[:2]):
        scale = max(colours.shape[:2]) / max(seen.shape[:2])
        margin = 0.35 * size
        closer = tuple(
            span(part.start - margin, part.stop + margin, scale, side)
            for part, side in zip((rows, columns), colours.shape, strict=False)
        )
        _, ink = separated(resized(colours[closer]))
    if edge_width(ink) > SOFTEST * max(ink.shape):
        raise BlankImage("there are soft shadows, but no stroke")
    return ink


def separated(colours: NDArray[np.uint8]) -> tuple[Place, Grey]:
    """One look: where the digit is, and only its ink there, 0 = paper, 1 = full ink."""
    ink = above_paper(colours)
    (rows, columns), mask, full = strokes(ink)
    # the anti-aliased rim lies just outside the mask
    rim = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0
    digit = np.clip(ink[rows, columns] / np.float32(full), 0, 1) * rim
    left, top, width, height = cv2.boundingRect((digit > 0).astype(np.uint8))
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
    if scale < 1:
        return averaged(colours, height, width)
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def span(start: float, stop: float, scale: float, size: int) -> slice:
    """Rows or columns from one scale to another, kept inside the picture."""
    return slice(max(0, int(start * scale)), min(size, int(np.ceil(stop * scale))))


def edge_width(ink: Grey) -> float:
    """Pixels over which ink fades into paper, on the average along the outline."""
    solid = (ink > 0.5).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(solid, square) > cv2.erode(solid, square, borderValue=0)
    slope = float(steepness(ink, outline).mean()) if outline.any() else 0.0
    return 1 / max(slope, 1e-6)
