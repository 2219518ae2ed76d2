"""Colours -> how much each pixel rises above the paper: float32[height, width], about 0 = paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.decode import halved

Grey = NDArray[np.float32]

SMALL = 64  # longest side in pixels at which paper is estimated: it has no detail
WIDE, NARROW = 25, 11  # of SMALL: strokes up to this width are told from paper
SQUARE = np.ones((3, 3), np.uint8)  # a pixel and its neighbours


def above_paper(colours: NDArray[np.uint8]) -> Grey:
    """Ink as what rises above the paper, for strokes of the width that makes the sharper outline.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Judged against wide surroundings a soft shadow is ink; against narrow ones a thick pen is paper.
    In both cases the outline runs where there is no edge in the picture, and that tells.
    """
    small = shrunk(colours)
    channel = best_channel(small)
    tone = as_grey(cv2.GaussianBlur(one_channel(colours, channel), (3, 3), 0.7))
    small_tone = one_channel(small, channel)
    below_wide, below_narrow = (paper(small_tone, widest) for widest in (WIDE, NARROW))
    wide = as_grey(cv2.subtract(tone, resized_to(tone, below_wide)))
    if float((below_narrow - below_wide).max()) < 0.2 * float(wide.max()):
        return wide
    narrow = as_grey(cv2.subtract(tone, resized_to(tone, below_narrow)))
    return max(wide, narrow, key=lambda ink: outline_steepness(ink, tone))


def best_channel(small: Grey) -> Grey:
    """The direction in colours, float32[1] or float32[3], in which ink stands out most, upwards."""
    return pen_colour(small - surroundings(small))


def pen_colour(difference: Grey) -> Grey:
    """The direction in colours, float32[1] or float32[3], of what differs most from the paper.

    It is the mean colour of that: it chooses the channel (blue pen on grey paper shows in red) and
    the sign (dark on light or light on dark) together.
    """
    if difference.ndim == 2:
        return as_grey([1 if difference.max() >= -difference.min() else -1])
    strength = np.einsum("ijk,ijk->ij", difference, difference)  # squared
    direction = difference[strength >= 0.25 * strength.max()].mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length == 0:  # nothing stands out, in whatever channel
        direction, length = np.eye(1, len(direction), dtype=np.float32)[0], 1.0
    return as_grey(direction / length)


def one_channel(colours: NDArray[np.uint8] | Grey, channel: Grey) -> Grey:
    """A picture as seen in the channel that `best_channel` found."""
    if colours.ndim == 2:
        return as_grey(colours) if channel[0] > 0 else 255 - as_grey(colours)
    return as_grey(cv2.transform(as_grey(colours), channel[None]))


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
    return as_grey(cv2.dilate(opened, SQUARE))


def resized_to(tone: Grey, small: Grey) -> Grey:
    """A small picture stretched to the size of another."""
    size = (tone.shape[1], tone.shape[0])
    return as_grey(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))


def shrunk(colours: NDArray[np.uint8]) -> Grey:
    """The picture, of one channel or three, with SMALL pixels on its longest side."""
    scale = SMALL / max(colours.shape[:2])
    height, width = (max(1, round(side * scale)) for side in colours.shape[:2])
    half = as_grey(halved(colours, height, width))
    return as_grey(cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA))


def surroundings(small: Grey) -> Grey:
    """The median of the half of the picture around each pixel, in each channel.

    Taken at half the size, where it costs a quarter.
    """
    height, width = small.shape[:2]
    half = cv2.resize(small, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    reach = SMALL // 8
    padded = cv2.copyMakeBorder(cv2.convertScaleAbs(half), *(reach,) * 4, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(padded, 2 * reach + 1)[reach:-reach, reach:-reach]
    return as_grey(cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR))


def steepness(tone: Grey, at: cv2.typing.MatLike) -> float:
    """How much a picture changes from one pixel to the next, on the average where `at` is not 0.

    By Sobel's gradient.
    """
    return cv2.mean(gradient(tone), at)[0]


def gradient(tone: Grey) -> Grey:
    """How much a picture changes from each pixel to the next (Sobel's)."""
    across = cv2.Sobel(tone, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(tone, cv2.CV_32F, 0, 1, scale=1 / 8)
    return as_grey(cv2.magnitude(across, down))


def outline_steepness(ink: Grey, tone: Grey) -> float:
    """How steep the picture is where this idea of ink has its outline."""
    mask = (ink > otsu(ink, ink.size)).view(np.uint8)
    return steepness(tone, cv2.subtract(cv2.dilate(mask, SQUARE), mask))


def otsu(ink: Grey, pixels: int) -> float:
    """The threshold that splits ink from paper with the least variance in both (Otsu 1979).

    `pixels` is how many there are in all; those that `ink` has not are paper.
    """
    step = max(cv2.minMaxLoc(ink)[1], 1e-6) / 255
    scaled = np.zeros(max(pixels, ink.size), np.uint8)
    _, raised = cv2.threshold(ink, 0, 0, cv2.THRESH_TOZERO)
    scaled[: ink.size] = cv2.convertScaleAbs(raised, alpha=1 / step).ravel()
    return float(cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]) * step


def as_grey(picture: object) -> Grey:
    """One channel, in float."""
    return np.asarray(picture, dtype=np.float32)
