"""Paper of one exact colour, as on a canvas or a screen: the pixels that differ from it are ink.

Most of the work on a photo is to estimate the paper under the ink. A drawing made on a screen does
not need it.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.paper import Grey, as_grey, pen_colour
from service.images.pixels.strokes import Place, around

MOSTLY_PAPER = 0.5  # least part of all pixels that have exactly the colour of plain paper
MOSTLY_INK = 0.5  # least part of the others that is nearer to ink than to paper: else shadows
AT_BORDER = 0.2  # largest part of a height and a width that may be ink at the border
ASKED = 32  # rows and columns of the sample of pixels from which the paper's colour is taken


class Plain(NamedTuple):
    """Paper of one colour, the colour of the pen on it, and the place of the ink."""

    paper: Grey
    """The paper's colour, float32[1] or float32[3]."""
    pen: Grey
    """The direction from there to the ink's colour, found by `pen_colour`."""
    place: Place
    """The rectangle outside of which there is no ink."""


def plain_paper(colours: NDArray[np.uint8]) -> Plain | None:
    """Return the paper if it has exactly one colour and strokes on it; otherwise None.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    """
    paper = commonest(colours)
    if paper is None:
        return None
    other = differing(colours, paper)
    count = cv2.countNonZero(other)
    if not 0 < count <= (1 - MOSTLY_PAPER) * other.size or framed_by_ink(other):
        return None
    place = even(around(other), other.shape)
    some = as_grey(colours[place][::2, ::2])
    pen = pen_colour(some - paper)
    plain = Plain(paper, pen, place)
    ink = risen(some, plain)
    strong = np.count_nonzero(ink > 0.5 * ink.max())
    return plain if strong > MOSTLY_INK * np.count_nonzero(ink) else None


def framed_by_ink(other: NDArray[np.uint8]) -> bool:
    """Return true if more than a stroke or two is at the border: a table beside the paper, say."""
    ends = np.concatenate([other[0], other[-1], other[:, 0], other[:, -1]])
    return cv2.countNonZero(ends) > AT_BORDER * sum(other.shape)


def even(place: Place, shape: tuple[int, ...]) -> Place:
    """Extend a rectangle in a picture of this shape, so that its sides can be halved twice."""
    rows, columns = (
        slice(part.start, min(side, part.stop + -(part.stop - part.start) % 4))
        for part, side in zip(place, shape, strict=True)
    )
    return rows, columns


def commonest(colours: NDArray[np.uint8]) -> Grey | None:
    """Return the commonest colour, float32[1] or float32[3], which is that of plain paper.

    It is found in a sample of the pixels. None where too few of them agree, as in any photo.
    """
    rows, columns = (max(1, side // ASKED) for side in colours.shape[:2])
    some = colours[::rows, ::columns]
    channels = [some] if some.ndim == 2 else [some[..., 0], some[..., 1], some[..., 2]]
    counts = [np.bincount(channel.ravel()) for channel in channels]
    if min(int(count.max()) for count in counts) < 0.5 * MOSTLY_PAPER * channels[0].size:
        return None
    return as_grey([count.argmax() for count in counts])


def differing(colours: NDArray[np.uint8], paper: Grey) -> NDArray[np.uint8]:
    """Return 1 for each pixel that has not exactly the paper's colour, else 0."""
    channels = [colours] if colours.ndim == 2 else cv2.split(colours)
    other = np.zeros(colours.shape[:2], np.bool_)
    for channel, value in zip(channels, paper, strict=True):
        other |= np.asarray(channel, np.uint8) != int(value)
    return other.view(np.uint8)


def risen(colours: NDArray[np.uint8] | Grey, plain: Plain) -> Grey:
    """Return the distance of each pixel from the paper towards the pen's colour, 0 = paper."""
    if colours.ndim == 2:
        along = as_grey((as_grey(colours) - plain.paper[0]) * plain.pen[0])
    else:
        along = as_grey(cv2.transform(as_grey(colours) - plain.paper, plain.pen[None]))
    return np.maximum(along, 0)
