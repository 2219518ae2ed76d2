"""Paper of one exact colour, as on a canvas or a screen: nothing to estimate, ink is what differs.

Most of the work on a photo goes into finding out what its paper looks like under the ink. A drawing
made on a screen says so itself.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.paper import Grey, as_grey, pen_colour
from service.images.pixels.strokes import Place, around

MOSTLY_PAPER = 0.5  # of all pixels have the paper's very colour, or it is no plain paper
MOSTLY_INK = 0.5  # of the others are nearer to full ink than to paper, or they may be shadows
AT_BORDER = 0.2  # as much of a height and a width may be ink at the border
ASKED = 32  # rows and columns of pixels that say which colour the paper has


class Plain(NamedTuple):
    """Paper of one colour, and what is on it."""

    paper: Grey
    """Its colour, float32[1] or float32[3]."""
    pen: Grey
    """The direction from there to the ink's colour, as `pen_colour` finds it."""
    place: Place
    """The rectangle outside of which there is no ink."""


def plain_paper(colours: NDArray[np.uint8]) -> Plain | None:
    """The paper, if it is of one colour exactly and what is on it are strokes.

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
    """Whether there is more than a stroke or two at the border: a table beside the paper, say."""
    ends = np.concatenate([other[0], other[-1], other[:, 0], other[:, -1]])
    return cv2.countNonZero(ends) > AT_BORDER * sum(other.shape)


def even(place: Place, shape: tuple[int, ...]) -> Place:
    """A little more of a picture of this shape, so that its sides can be halved twice."""
    rows, columns = (
        slice(part.start, min(side, part.stop + -(part.stop - part.start) % 4))
        for part, side in zip(place, shape, strict=True)
    )
    return rows, columns


def commonest(colours: NDArray[np.uint8]) -> Grey | None:
    """The value that most pixels have, float32[1] or float32[3]; of plain paper, the paper's.

    None where too few have one that it could be, as in any photo: told from some of them only.
    """
    rows, columns = (max(1, side // ASKED) for side in colours.shape[:2])
    some = colours[::rows, ::columns]
    channels = [some] if some.ndim == 2 else [some[..., 0], some[..., 1], some[..., 2]]
    counts = [np.bincount(channel.ravel()) for channel in channels]
    if min(int(count.max()) for count in counts) < 0.5 * MOSTLY_PAPER * channels[0].size:
        return None
    return as_grey([count.argmax() for count in counts])


def differing(colours: NDArray[np.uint8], paper: Grey) -> NDArray[np.uint8]:
    """Which pixels are not exactly of the paper's colour: 1, or else 0."""
    channels = [colours] if colours.ndim == 2 else cv2.split(colours)
    other = np.zeros(colours.shape[:2], np.bool_)
    for channel, value in zip(channels, paper, strict=True):
        other |= np.asarray(channel, np.uint8) != int(value)
    return other.view(np.uint8)


def risen(colours: NDArray[np.uint8] | Grey, plain: Plain) -> Grey:
    """How far each pixel is from the paper, in the direction of the pen's colour: 0 = paper."""
    if colours.ndim == 2:
        along = as_grey((as_grey(colours) - plain.paper[0]) * plain.pen[0])
    else:
        along = as_grey(cv2.transform(as_grey(colours) - plain.paper, plain.pen[None]))
    return np.maximum(along, 0)
