"""Finding the strokes of one digit: connected parts of the ink, kept or dropped."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BlankImage
from service.images.pixels.paper import SQUARE, Grey, gradient, otsu

Mask = NDArray[np.uint8]  # 0 or 1
Place = tuple[slice, slice]  # rows and columns

Limits = tuple[float, float]
"""The two thresholds of hysteresis: above the lower may be ink, above the upper surely is."""

FAINTEST = 5.0  # of 255: ink that differs less from its paper cannot be distinguished from it
CLEAR = 4.5  # ink stands this many times out of the paper's unevenness; noise reaches 4, pens 6
CUT_OFF = np.array([1, 0.3, 0.15, 0.04, 0.04])  # trust in a part that touches 0..4 sides
MOSTLY_SPECKS = 0.1  # a digit has at least this part of all pixels that look like ink


def strokes(
    ink: Grey, limits: Limits, at: tuple[int, int] = (0, 0), sheet: tuple[int, ...] | None = None
) -> tuple[Place, Mask, float]:
    """Find the digit: its place in `ink`, its mask there, and the value of its full ink.

    `ink` has all ink of a sheet of the size `sheet` and lies there at the row and column `at`; by
    default it is the whole sheet. Raises BlankImage where there are only specks.
    """
    low, high = limits
    mask = (ink > low).view(np.uint8)
    place = around(mask)
    there = ink[place]
    on_sheet = moved(place, *at)
    everything = without_rules(hysteresis(mask[place], there, high), on_sheet, sheet or ink.shape)
    mask = only_digit(everything, there, on_sheet, sheet or ink.shape)
    if cv2.countNonZero(mask) < MOSTLY_SPECKS * cv2.countNonZero(everything):
        raise BlankImage("there are specks, but no stroke among them")
    pen = there[mask.view(np.bool_)]
    return place, mask, float(np.partition(pen, pen.size // 2)[pen.size // 2])  # the median


def moved(place: Place, down: int, right: int) -> Place:
    """Shift a rectangle down and right, for coordinates that begin further up and left."""
    rows, columns = place
    return (
        slice(rows.start + down, rows.stop + down),
        slice(columns.start + right, columns.stop + right),
    )


def around(mask: Mask) -> Place:
    """Return the bounding box of a mask and one pixel around it, so that later steps do less."""
    left, top, width, height = cv2.boundingRect(mask)
    return slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)


def limits_of(ink: Grey) -> Limits:
    """Return a part of Otsu's threshold, and the threshold. Raises BlankImage without clear ink."""
    low, high = limits_on_plain(ink, ink.size)
    pen = ink[ink > high]
    # The paper's sums are those of all less the pen's, as a mask would take four times as long.
    count = ink.size - pen.size
    if not pen.size or not count:
        raise BlankImage("nothing stands out from the background")
    paper = float(ink.sum() - pen.sum()) / count
    squares = (cv2.norm(ink, cv2.NORM_L2SQR) - cv2.norm(pen, cv2.NORM_L2SQR)) / count
    unevenness = max(0.0, squares - paper**2) ** 0.5
    if float(pen.mean()) - paper < CLEAR * unevenness:
        raise BlankImage("there is texture or noise, but no stroke in it")
    return low, high


def limits_on_plain(ink: Grey, pixels: int) -> Limits:
    """Return the limits on paper of one colour; of its `pixels`, only those in `ink` may have ink.

    Raises BlankImage where the ink is too faint.
    """
    if cv2.minMaxLoc(ink)[1] < FAINTEST:
        raise BlankImage("nothing stands out from the background")
    high = otsu(ink, pixels)
    return 0.6 * high, high


def hysteresis(mask: Mask, ink: Grey, high: float) -> Mask:
    """Return the parts of a mask that are connected with ink above `high` (Canny 1986)."""
    count, parts = cv2.connectedComponents(mask, connectivity=8)
    if count == 2:  # the only part, so it has the strongest ink
        return mask
    labels = np.asarray(parts, dtype=np.int32)
    keep = np.bincount(labels[ink > high], minlength=count) > 0
    keep[0] = False
    return keep.astype(np.uint8).take(labels)


def without_rules(mask: Mask, place: Place, sheet: tuple[int, ...]) -> Mask:
    """Erase the lines of ruled or squared paper, but not the strokes that cross them.

    `mask` lies at `place` in a picture of the size `sheet`.
    """
    rows, columns = (
        part.start == 0 and part.stop >= side for part, side in zip(place, sheet, strict=True)
    )
    if columns:  # rules run horizontally, then vertically
        erase_rules(mask, sheet[0])
    if rows:
        erase_rules(mask.T, sheet[1])
    return mask


def erase_rules(mask: Mask, height: int) -> None:
    """Erase horizontal rules in place; `height` is that of the whole picture.

    A rule is thin and straight and runs from one side to the other. Where a stroke crosses it, the
    ink is taller than the rule is thick.
    """
    width = mask.shape[1]
    straight = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, max(3, width // 12)), np.uint8))
    joined = cv2.dilate(straight, np.ones((3, max(3, width // 12)), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    for rule in range(1, count):
        if stats[rule, cv2.CC_STAT_WIDTH] < 0.95 * width:
            continue
        thick = round(float(np.median(((labels == rule) & (straight > 0)).sum(axis=0))))
        if not 1 <= thick <= 0.04 * height:
            continue
        taller = np.ones((2 * thick + 1, 1), np.uint8)
        tall = cv2.morphologyEx(mask, cv2.MORPH_OPEN, taller)
        rest = np.where((labels == rule) & (tall == 0), 0, mask)
        if rest.sum() > 0.15 * mask.sum():  # else nearly all ink is the rule: a long 1
            mask[:] = rest


def only_digit(mask: Mask, ink: Grey, place: Place, sheet: tuple[int, ...]) -> Mask:
    """Keep the digit; drop specks, frames, soft shadows, and parts that the border cuts off.

    `mask` and `ink` lie at `place` in a picture of the size `sheet`.
    """
    if cv2.connectedComponents(mask, connectivity=8)[0] == 2:  # five times as fast as with stats
        return mask
    _, found, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    labels, parts = np.asarray(found, np.int32), np.asarray(stats[1:], np.int32)
    height, width = sheet
    left, top, wide, high, area = parts.T
    area = area * ~frames(labels, parts)
    left, top = left + place[1].start, top + place[0].start
    right, bottom = left + wide, top + high
    sharp = sharpness(mask, labels, ink)[1:]
    off_centre = np.hypot((left + right) / 2 / width - 0.5, (top + bottom) / 2 / height - 0.5)
    sides = np.stack([left <= 1, top <= 1, right >= width - 1, bottom >= height - 1]).sum(axis=0)
    cut_off = sides > 0  # a strip of table beside the paper even touches three sides
    main = int((area * sharp * (1 - off_centre) * CUT_OFF[sides]).argmax())
    # A detached bar of a 5 is about as sharp and as large as the rest, and near it.
    gap_x = np.maximum(0, np.maximum(left - right[main], left[main] - right))
    gap_y = np.maximum(0, np.maximum(top - bottom[main], top[main] - bottom))
    keep = np.hypot(gap_x, gap_y) < 0.35 * max(wide[main], high[main])
    keep &= (area > 0.03 * area[main]) & (sharp > 0.35 * sharp[main])
    keep &= ~cut_off | cut_off[main]
    return np.concatenate([[False], keep]).astype(np.uint8).take(labels)


def sharpness(mask: Mask, labels: NDArray[np.int32], ink: Grey) -> NDArray[np.float64]:
    """Return the mean gradient along the outline of every connected part."""
    rim = mask > cv2.erode(mask, SQUARE)
    parts = labels[rim]
    count = np.bincount(parts, minlength=int(labels.max()) + 1)
    total = np.bincount(parts, weights=gradient(ink)[rim], minlength=len(count))
    return np.asarray(total / np.maximum(count, 1), dtype=np.float64)


def frames(labels: NDArray[np.int32], boxes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return true for each part that is a box printed around the digit, as on forms.

    Such a part surrounds another one that is not a speck, and lies along its own bounding box.
    """
    left, top, wide, high = boxes[:, :4].T
    right, bottom = left + wide, top + high
    around = (left[:, None] < left) & (right[:, None] > right) & (high > 0.3 * high[:, None])
    around &= (top[:, None] < top) & (bottom[:, None] > bottom)
    found = around.any(axis=1)
    for i in np.nonzero(found)[0]:
        part = labels[top[i] : bottom[i], left[i] : right[i]] == i + 1
        rim = max(2, round(0.08 * min(part.shape)))
        found[i] = int(part[rim:-rim, rim:-rim].sum()) < 0.1 * int(part.sum())
    return np.asarray(found)
