"""Estimating paper: colours -> how much each pixel stands out, float32[h, w], about 0 = paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.decode import halved

Grey = NDArray[np.float32]

SMALL = 64  # longest side in pixels at which paper is estimated, as it has no detail
WIDE, NARROW = 25, 11  # of SMALL: strokes up to this width are distinguished from paper
SQUARE = np.ones((3, 3), np.uint8)  # a pixel and its neighbours


def above_paper(colours: NDArray[np.uint8]) -> Grey:
    """Return how much each pixel rises above the paper, for the width of strokes that fits better.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Compared with wide surroundings, a soft shadow counts as ink; compared with narrow ones, a thick
    pen counts as paper. In both cases the outline of the ink has no edge in the picture, so the
    width with the steeper outline is taken.
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
    """Return the direction in colours, float32[1] or float32[3], in which ink stands out most."""
    return pen_colour(small - surroundings(small))


def pen_colour(difference: Grey) -> Grey:
    """Return the direction in colours, float32[1] or float32[3], that differs most from the paper.

    It is the mean of the differences of at least half the largest. It decides both the channel
    (blue pen on grey paper shows in red) and the sign (dark on light or light on dark).
    """
    if difference.ndim == 2:
        return as_grey([1 if difference.max() >= -difference.min() else -1])
    strength = np.einsum("ijk,ijk->ij", difference, difference)  # squared
    direction = difference[strength >= 0.25 * strength.max()].mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length == 0:  # nothing stands out in any channel
        direction, length = np.eye(1, len(direction), dtype=np.float32)[0], 1.0
    return as_grey(direction / length)


def one_channel(colours: NDArray[np.uint8] | Grey, channel: Grey) -> Grey:
    """Project a picture onto the direction that `best_channel` found."""
    if colours.ndim == 2:
        return as_grey(colours) if channel[0] > 0 else 255 - as_grey(colours)
    return as_grey(cv2.transform(as_grey(colours), channel[None]))


def paper(small: Grey, widest: int) -> Grey:
    """Return the paper as it would be without ink: a morphological opening wider than any stroke.

    `small` is one channel with SMALL pixels on its longest side; the result has the same size.

    An opening keeps the edge of a shadow sharp, where a blur or a fitted surface would leave a
    seam that looks like a stroke. Unlike a median it does not fail on a thick pen.
    """
    opened = cv2.morphologyEx(
        cv2.medianBlur(small, 3), cv2.MORPH_OPEN, np.ones((widest, widest), np.uint8)
    )
    # One pixel wider, so that the rim of a shadow, blurred by the resizing, is not ink.
    return as_grey(cv2.dilate(opened, SQUARE))


def resized_to(tone: Grey, small: Grey) -> Grey:
    """Stretch a small picture to the size of another."""
    size = (tone.shape[1], tone.shape[0])
    return as_grey(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))


def shrunk(colours: NDArray[np.uint8]) -> Grey:
    """Shrink a picture of one channel or three to SMALL pixels on its longest side."""
    scale = SMALL / max(colours.shape[:2])
    height, width = (max(1, round(side * scale)) for side in colours.shape[:2])
    half = as_grey(halved(colours, height, width))
    return as_grey(cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA))


def surroundings(small: Grey) -> Grey:
    """Return the median of the half of the picture around each pixel, in each channel.

    It is computed at half the size, at a quarter of the cost.
    """
    height, width = small.shape[:2]
    half = cv2.resize(small, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    reach = SMALL // 8
    padded = cv2.copyMakeBorder(cv2.convertScaleAbs(half), *(reach,) * 4, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(padded, 2 * reach + 1)[reach:-reach, reach:-reach]
    return as_grey(cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR))


def steepness(tone: Grey, at: cv2.typing.MatLike) -> float:
    """Return the mean of Sobel's gradient over the pixels where `at` is not 0."""
    return cv2.mean(gradient(tone), at)[0]


def gradient(tone: Grey) -> Grey:
    """Return the magnitude of Sobel's gradient of each pixel."""
    across = cv2.Sobel(tone, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(tone, cv2.CV_32F, 0, 1, scale=1 / 8)
    return as_grey(cv2.magnitude(across, down))


def outline_steepness(ink: Grey, tone: Grey) -> float:
    """Return the mean gradient of a picture along the outline of an estimate of its ink."""
    mask = (ink > otsu(ink, ink.size)).view(np.uint8)
    return steepness(tone, cv2.subtract(cv2.dilate(mask, SQUARE), mask))


def otsu(ink: Grey, pixels: int) -> float:
    """Return the threshold between ink and paper of the least variance within both (Otsu 1979).

    `pixels` is the number of all pixels; those that are not in `ink` are paper.
    """
    step = max(cv2.minMaxLoc(ink)[1], 1e-6) / 255
    scaled = np.zeros(max(pixels, ink.size), np.uint8)
    _, raised = cv2.threshold(ink, 0, 0, cv2.THRESH_TOZERO)
    scaled[: ink.size] = cv2.convertScaleAbs(raised, alpha=1 / step).ravel()
    return float(cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]) * step


def as_grey(picture: object) -> Grey:
    """Return one channel as float32."""
    return np.asarray(picture, dtype=np.float32)
