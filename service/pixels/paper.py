"""Colours -> how much each pixel rises above the paper: float32[height, width], about 0 = paper."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
T = TypeVar("T", np.uint8, np.float32)

SMALL = 64  # longest side in pixels at which paper is estimated: it has no detail
WIDE, NARROW = 25, 11  # of SMALL: strokes up to this width are told from paper


def above_paper(colours: NDArray[np.uint8]) -> Grey:
    """Ink as what rises above the paper, for strokes of the width that makes the sharper outline.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Judged against wide surroundings a soft shadow is ink; against narrow ones a thick pen is paper.
    In both cases the outline runs where there is no edge in the picture, and that tells.
    """
    tone = as_grey(cv2.GaussianBlur(one_channel(colours), (0, 0), 0.7))
    small = shrunk(tone)
    wide, narrow = (tone - resized_to(tone, paper(small, widest)) for widest in (WIDE, NARROW))
    if float((wide - narrow).max()) < 0.2 * float(wide.max()):
        return wide
    slope = steepness(tone)
    return max(wide, narrow, key=lambda ink: outline_steepness(ink, slope))


def one_channel(colours: NDArray[np.uint8]) -> Grey:
    """The channel in which ink stands out most, and stands out upwards.

    Its direction is the mean colour of what differs most from the median around it: that chooses
    the channel (blue pen on grey paper shows in red) and the sign (dark on light or light on dark)
    together.
    """
    small = shrunk(colours)
    difference = small.astype(np.float32) - surroundings(small)
    if difference.ndim == 2:
        strength = np.abs(difference)
        rises = float(difference[strength >= 0.5 * strength.max()].mean()) >= 0
        return as_grey(colours) if rises else -as_grey(colours)
    strength = np.sqrt(np.sum(difference**2, axis=2))
    direction = difference[strength >= 0.5 * strength.max()].mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length == 0:
        return as_grey(colours[..., 1])
    return as_grey(cv2.transform(as_grey(colours), direction[None] / length))


def paper(small: Grey, widest: int) -> Grey:
    """The paper as it would be without ink: a morphological opening wider than any stroke.

    `small` is the tone with SMALL pixels on its longest side, and so is the answer.

    An opening keeps the edge of a shadow sharp, where a blur or a fitted surface would leave a
    seam that looks like a stroke; and unlike a median it is not overrun by a thick pen.
    """
    opened = cv2.morphologyEx(
        cv2.medianBlur(small, 3), cv2.MORPH_OPEN, np.ones((widest, widest), np.uint8)
    )
    # One pixel further, so that the rim of a shadow, blurred by the change of size, is not ink.
    return as_grey(cv2.dilate(opened, np.ones((3, 3), np.uint8)))


def resized_to(tone: Grey, small: Grey) -> Grey:
    """A small picture stretched to the size of another."""
    size = (tone.shape[1], tone.shape[0])
    return as_grey(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))


def shrunk(picture: NDArray[T]) -> NDArray[T]:
    """The picture with SMALL pixels on its longest side."""
    scale = SMALL / max(picture.shape[:2])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=picture.dtype)


def surroundings(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The median of the half of the picture around each pixel, in each channel."""
    reach = SMALL // 4
    padded = cv2.copyMakeBorder(small, *(reach,) * 4, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(padded, 2 * reach + 1)[reach:-reach, reach:-reach]
    return np.asarray(median, dtype=np.uint8)


def steepness(tone: Grey) -> Grey:
    """How much a picture changes from one pixel to the next (Sobel's gradient)."""
    across = cv2.Sobel(tone, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(tone, cv2.CV_32F, 0, 1, scale=1 / 8)
    return as_grey(cv2.magnitude(across, down))


def outline_steepness(ink: Grey, slope: Grey) -> float:
    """How steep the picture is where this idea of ink has its outline."""
    mask = (ink > otsu(ink)).astype(np.uint8)
    outline = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > mask
    return float(slope[outline].mean()) if outline.any() else 0.0


def otsu(ink: Grey) -> float:
    """The threshold that splits ink from paper with the least variance in both (Otsu 1979)."""
    step = max(float(ink.max()), 1e-6) / 255
    scaled = cv2.convertScaleAbs(np.maximum(ink, 0), alpha=1 / step)
    return float(cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]) * step


def as_grey(picture: object) -> Grey:
    """One channel, in float."""
    return np.asarray(picture, dtype=np.float32)
