"""Colours -> ink: where somebody drew, and how much, whatever the paper, pen and light."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BlankImage

Grey = NDArray[np.float32]
Mask = NDArray[np.uint8]

LOOK_AT = 320  # longest side in pixels that is enough to find and separate a digit
AT_LEAST = 112  # a smaller picture is enlarged, so that a step of one pixel is not a whole stroke
WIDE, NARROW = 25, 11  # of PAPER_AT
PAPER_AT = 64  # longest side at which the paper is estimated: it has no detail
CLOSER = 0.45  # a digit smaller than this share of the picture gets a second, closer look

FAINTEST = 9.0  # of 255: ink that differs less from its paper cannot be told from the paper
CLEAREST_NOISE = 4.0  # ink must stand this many times out of its own and the paper's unevenness


def find_ink(colours: NDArray[np.uint8]) -> Grey:
    """Separate the one digit in a picture from everything else.

    `colours` is uint8[height, width] or uint8[height, width, 3], dark on light or light on dark.
    Returns float32[h, w], the digit's bounding box and nothing else: 0 = paper, 1 = full ink.
    Raises BlankImage where nothing stands out.
    """
    ink = separate(resized(colours, LOOK_AT))
    left, top, width, height = cv2.boundingRect((ink > 0).astype(np.uint8))
    if max(width, height) < CLOSER * max(ink.shape):
        scale = max(colours.shape[:2]) / max(ink.shape)
        margin = 0.35 * max(width, height)
        rows = span(top - margin, top + height + margin, scale, colours.shape[0])
        columns = span(left - margin, left + width + margin, scale, colours.shape[1])
        ink = separate(resized(colours[rows, columns], LOOK_AT))
        left, top, width, height = cv2.boundingRect((ink > 0).astype(np.uint8))
    return ink[top : top + height, left : left + width]


def span(start: float, stop: float, scale: float, size: int) -> slice:
    return slice(max(0, int(start * scale)), min(size, int(np.ceil(stop * scale))))


def separate(colours: NDArray[np.uint8]) -> Grey:
    """One look: float32[height, width], 0 = paper, 1 = full ink, only the digit left."""
    tone = one_channel(colours)
    ink = above_paper(tone)
    low, high = thresholds(ink)
    mask = only_digit(without_rules(hysteresis(ink, low, high)), ink)
    full = float(np.median(ink[(mask > 0) & (ink > high)]))
    edge = cv2.dilate(mask, disc(1))  # the anti-aliased rim lies just outside the mask
    return np.where(edge > 0, np.clip(ink / full, 0, 1), 0).astype(np.float32)


def above_paper(tone: Grey) -> Grey:
    """Ink as what rises above the paper, for strokes of the width that makes the sharper outline.

    Judged against wide surroundings a soft shadow is ink; against narrow ones a thick pen is paper.
    In both cases the outline runs where there is no edge in the picture, and that tells.
    """
    tone = np.asarray(cv2.GaussianBlur(tone, (0, 0), 0.7), dtype=np.float32)
    wide, narrow = (tone - paper(tone, widest) for widest in (WIDE, NARROW))
    if float((wide - narrow).max()) < 0.2 * float(wide.max()):
        return wide
    steep = cv2.magnitude(cv2.Sobel(tone, cv2.CV_32F, 1, 0), cv2.Sobel(tone, cv2.CV_32F, 0, 1))
    return max(wide, narrow, key=lambda ink: outline_steepness(ink, steep))


def outline_steepness(ink: Grey, steep: Grey) -> float:
    mask = (ink > otsu(ink)).astype(np.uint8)
    outline = cv2.dilate(mask, disc(1)) - mask
    return float(steep[outline > 0].mean())


def resized(colours: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Bring the longest side to at most `longest` and at least AT_LEAST pixels, aspect kept."""
    size = max(colours.shape[:2])
    scale = min(longest, max(size, AT_LEAST)) / size
    if scale == 1:
        return colours
    height, width = (max(1, round(side * scale)) for side in colours.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(colours, (width, height), interpolation=how), dtype=np.uint8)


def one_channel(colours: NDArray[np.uint8]) -> Grey:
    """The channel in which ink stands out most, and stands out upwards.

    Its direction is the mean colour of what differs most from the median around it: that chooses
    the channel (blue pen on grey paper shows in red) and the sign (dark on light or light on dark)
    together.
    """
    small = shrunk(colours)
    reach = PAPER_AT // 4
    padded = cv2.copyMakeBorder(small, *(reach,) * 4, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(padded, 2 * reach + 1)[reach:-reach, reach:-reach]
    difference = small.astype(np.float32) - median
    if difference.ndim == 2:
        most = np.abs(difference) > 0.5 * float(np.abs(difference).max())
        tone = colours.astype(np.float32)
        return tone if not most.any() or difference[most].mean() > 0 else -tone
    strength = np.sqrt(np.sum(difference**2, axis=2))
    direction = difference[strength > 0.5 * float(strength.max()) - 1e-6].mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length < 1e-6:
        direction, length = np.ones(3, np.float32), 3**0.5
    return np.asarray(
        cv2.transform(colours.astype(np.float32), direction[None] / length), np.float32
    )


def shrunk(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at the size at which paper is estimated."""
    scale = PAPER_AT / max(colours.shape[:2])
    height, width = (max(1, round(side * scale)) for side in colours.shape[:2])
    return np.asarray(cv2.resize(colours, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def paper(tone: Grey, widest: int) -> Grey:
    """The paper as it would be without ink: a morphological opening wider than any stroke.

    An opening keeps the edge of a shadow sharp, where a blur or a fitted surface would leave a
    seam that looks like a stroke; and unlike a median it is not overrun by a thick pen.
    """
    height, width = tone.shape
    scale = PAPER_AT / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(tone, size, interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(small, 3)
    stroke = np.ones((widest, widest), np.uint8)
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, stroke)
    return np.asarray(
        cv2.resize(opened, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def otsu(ink: Grey) -> float:
    """The threshold that splits ink from paper with the least variance in both (Otsu 1979)."""
    top = max(float(ink.max()), 1e-6)
    scaled = np.clip(ink * (255 / top), 0, 255).astype(np.uint8)
    return cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0] * top / 255


def thresholds(ink: Grey) -> tuple[float, float]:
    """Where ink may end and where it surely is: Otsu's threshold, and a share of it."""
    if ink.max() < FAINTEST:
        raise BlankImage("nothing stands out from the background")
    split = otsu(ink)
    inside, outside = ink[ink > split], ink[ink <= split]
    apart = float(inside.mean() - outside.mean())
    uneven = 1.4826 * float(np.median(np.abs(outside - np.median(outside))))
    if apart < CLEAREST_NOISE * uneven:
        raise BlankImage("there is texture or noise, but no stroke in it")
    return 0.6 * split, split


def hysteresis(ink: Grey, low: float, high: float) -> Mask:
    """Everything above `low` that hangs together with something above `high` (Canny 1986)."""
    _, labels = cv2.connectedComponents((ink > low).astype(np.uint8), connectivity=8)
    sure = np.bincount(labels[ink > high], minlength=int(labels.max()) + 1) > 0
    sure[0] = False
    return sure[labels].astype(np.uint8)


def without_rules(mask: Mask) -> Mask:
    """Erase the lines of ruled or squared paper, but not the strokes that cross them.

    A rule is thin, straight and comes in on one side and leaves on the other; where a stroke
    crosses it, ink stands taller than the rule is thick.
    """
    for turned in (mask, mask.T):
        height, width = turned.shape
        if not (turned[:, :2].any() and turned[:, -2:].any()):
            continue
        straight = cv2.morphologyEx(turned, cv2.MORPH_OPEN, np.ones((1, width // 12), np.uint8))
        joined = cv2.dilate(straight, np.ones((3, width // 12), np.uint8))
        _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
        spans = stats[:, cv2.CC_STAT_WIDTH] > 0.95 * width
        spans[0] = False
        for rule in np.nonzero(spans)[0]:
            line = (labels == rule) & (straight > 0)
            thick = max(1, round(float(np.median(line.sum(axis=0)))))
            if thick > 0.04 * height:
                continue
            tall = cv2.morphologyEx(turned, cv2.MORPH_OPEN, np.ones((2 * thick + 1, 1), np.uint8))
            rest = np.where((labels == rule) & (tall == 0), 0, turned).astype(np.uint8)
            if rest.sum() > 0.15 * turned.sum():  # else the line is all there is: a long 1
                turned[:] = rest
    return mask


def only_digit(mask: Mask, ink: Grey) -> Mask:
    """Keep the strokes of the digit; drop specks, rules, and what comes in over the border."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    height, width = mask.shape
    area = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    left, top = stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_TOP]
    right = left + stats[1:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[1:, cv2.CC_STAT_HEIGHT]
    middle_x, middle_y = (left + right) / 2 / width - 0.5, (top + bottom) / 2 / height - 0.5
    touches = (left <= 1) | (top <= 1) | (right >= width - 1) | (bottom >= height - 1)
    worth = area * (1 - np.hypot(middle_x, middle_y)) * np.where(touches, 0.3, 1.0)
    surrounds = (left[:, None] < left) & (right[:, None] > right) & (top[:, None] < top)
    surrounds &= (bottom[:, None] > bottom) & (bottom - top > 0.3 * (bottom - top)[:, None])
    for i in np.nonzero(surrounds.any(axis=1))[0]:
        if is_frame(labels[top[i] : bottom[i], left[i] : right[i]] == i + 1):
            worth[i], area[i] = 0, 0
    main = int(worth.argmax())
    size = max(right[main] - left[main], bottom[main] - top[main])
    # distance between bounding boxes, 0 where they overlap
    gap_x = np.maximum(0, np.maximum(left - right[main], left[main] - right))
    gap_y = np.maximum(0, np.maximum(top - bottom[main], top[main] - bottom))
    near = np.hypot(gap_x, gap_y) < 0.35 * size
    keep = near & (area > 0.03 * area[main]) & ~(touches & ~touches[main])
    keep[main] = True
    return np.concatenate([[False], keep])[labels].astype(np.uint8)


def is_frame(shape: NDArray[np.bool_]) -> bool:
    """A box printed around the digit: nearly all of it lies along the edges of its bounding box."""
    rim = max(2, round(0.08 * min(shape.shape)))
    return int(shape[rim:-rim, rim:-rim].sum()) < 0.1 * int(shape.sum())


def disc(radius: int) -> Mask:
    return np.asarray(
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8
    )
