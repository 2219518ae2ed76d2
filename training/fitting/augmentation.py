"""Augmentation of MNIST's digits: other handwriting, other pens, and the artefacts of photographs.

Variants are drawn for each batch. They model how people write and photograph digits in general;
nothing here was fitted to the pictures that results are reported on.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Point = NDArray[np.float64]

UNCHANGED = 0.10
"""The share of pictures that stay as they are."""
NEAT = 0.7
"""The share of the others that are warped a little only, and stay like MNIST's own."""
GRID = np.stack(np.meshgrid(np.arange(28) - 13.5, np.arange(28) - 13.5), -1).astype(np.float32)


def augment(
    images: NDArray[np.uint8], labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return variants of pictures uint8[N, 28, 28] with labels int64[N], of the same shape."""
    unchanged = rng.random(len(images)) < UNCHANGED
    variants = [
        image if same else variant(image, int(label), rng)
        for image, label, same in zip(images, labels, unchanged, strict=True)
    ]
    return np.stack(variants)


def variant(image: Picture, label: int, rng: np.random.Generator) -> Picture:
    """Draw one picture in another handwriting: mostly neat, sometimes rough and photographed."""
    if rng.random() < NEAT:
        if rng.random() < 0.4:
            image = thickness(image, int(rng.integers(-1, 3)))
        return warp(image, rng, 0.6)
    if (habit := HABITS.get(label)) and rng.random() < habit[0]:
        image = refit(habit[1](image, rng))
    if rng.random() < 0.7:
        image = thickness(image, int(rng.integers(-2, 4)))
    return wear(warp(image, rng, 1.0), rng)


def flag(image: Picture, rng: np.random.Generator) -> Picture:
    """Draw a European 1: an upstroke to the top, sometimes a foot. MNIST has almost none."""
    ys, xs = np.nonzero(image > 127)
    if len(ys) < 10 or np.ptp(xs) > 11:  # already has a flag or a foot
        return image
    top, low = ink_ends(image)
    height, width = low[1] - top[1], stroke_width(image) * rng.uniform(0.7, 1.1)
    if rng.random() < 0.85:
        length, angle = height * rng.uniform(0.22, 0.55), np.deg2rad(rng.uniform(28, 62))
        image = line(image, top, top + length * np.array([-np.cos(angle), np.sin(angle)]), width)
    if rng.random() < 0.35:
        half = height * rng.uniform(0.15, 0.35)
        left, right = np.array([half, 0]), np.array([half * rng.uniform(0.7, 1.2), 0])
        image = line(image, low - left, low + right, width)
    return image


def crossbar(image: Picture, rng: np.random.Generator) -> Picture:
    """Draw a slashed 7: a short bar across the stem."""
    top, low = ink_ends(image)
    y = top[1] + (low[1] - top[1]) * rng.uniform(0.4, 0.62)
    row = np.flatnonzero(image[int(y)] > 127)
    if len(row) == 0:
        return image
    x, half, tilt = row.mean(), rng.uniform(3, 6), rng.uniform(-1.5, 0.8)
    width = stroke_width(image) * rng.uniform(0.6, 1.0)
    return line(image, np.array([x - half, y - tilt]), np.array([x + half, y + tilt]), width)


def zero_slash(image: Picture, rng: np.random.Generator) -> Picture:
    """Draw a slashed 0, as programmers write it."""
    ys, xs = np.nonzero(image > 127)
    inset = rng.uniform(0.1, 0.3)
    dx, dy = np.ptp(xs) * inset, np.ptp(ys) * inset
    width = stroke_width(image) * rng.uniform(0.6, 0.9)
    start = np.array([xs.max() - dx, ys.min() + dy])
    end = np.array([xs.min() + dx, ys.max() - dy])
    return line(image, start, end, width)


HABITS: dict[int, tuple[float, Callable[[Picture, np.random.Generator], Picture]]] = {
    0: (0.08, zero_slash),
    1: (0.40, flag),
    7: (0.30, crossbar),
}
"""The probability by digit of adding a stroke that MNIST's writers rarely make, and the stroke."""


def ink_ends(image: Picture) -> tuple[Point, Point]:
    """Return (x, y) of the topmost and of the lowest ink in pixels."""
    ys, xs = np.nonzero(image > 127)
    top, low = ys.min(), ys.max()
    return np.array([xs[ys == top].mean(), top]), np.array([xs[ys == low].mean(), low])


def stroke_width(image: Picture) -> float:
    """Estimate the width of the pen in pixels, 1..5: three times the mean depth of ink."""
    ink = (image > 100).astype(np.uint8)
    if not ink.any():
        return 2.0
    depth = cv2.distanceTransform(ink, cv2.DIST_L2, 3)
    return float(np.clip(3.0 * depth[ink > 0].mean(), 1.0, 5.0))


def line(image: Picture, start: Point, end: Point, width: float) -> Picture:
    """Add a straight white stroke, drawn at 8 times the size for smooth edges."""
    large = np.zeros((28 * 8, 28 * 8), np.uint8)
    a, b = ((int(8 * point[0] + 4), int(8 * point[1] + 4)) for point in (start, end))
    cv2.line(large, a, b, 255, max(1, int(8 * width)))
    return np.maximum(image, cv2.resize(large, (28, 28), interpolation=cv2.INTER_AREA))


def refit(image: Picture) -> Picture:
    """Fit a picture to MNIST's form again: a box of 20 pixels, centre of mass in the middle."""
    ys, xs = np.nonzero(image > 40)
    crop = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    scale = min(20 / max(crop.shape), 1.0)
    moments = cv2.moments(crop)
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    matrix = np.array([[scale, 0, 13.5 - scale * x], [0, scale, 13.5 - scale * y]])
    return np.asarray(cv2.warpAffine(crop, matrix, (28, 28), flags=cv2.INTER_LINEAR), np.uint8)


def thickness(image: Picture, steps: int) -> Picture:
    """Thicken strokes, or thin them with negative steps, by thirds of a pixel."""
    if steps == 0:
        return image
    large = cv2.resize(image, (84, 84), interpolation=cv2.INTER_CUBIC)
    size = 3 if abs(steps) == 1 else 2 * abs(steps) - 1
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    changed = cv2.dilate(large, pen) if steps > 0 else cv2.erode(large, pen)
    small = np.asarray(cv2.resize(changed, (28, 28), interpolation=cv2.INTER_AREA), np.uint8)
    vanished = steps < 0 and small.sum() < 0.45 * image.sum()
    return image if vanished else small


def warp(image: Picture, rng: np.random.Generator, strength: float) -> Picture:
    """Rotate, shear, stretch, shift and bend in one resampling; strength 1 is the human range.

    Affine and elastic distortions: Simard, Steinkraus and Platt 2003, "Best practices for
    convolutional neural networks applied to visual document analysis".
    """
    angle, shear = np.deg2rad(rng.normal(0, 8 * strength)), rng.normal(0, 0.16 * strength)
    zoom = rng.uniform(1 - 0.14 * strength, 1 + 0.10 * strength)
    aspect = np.exp(rng.normal(0, 0.10 * strength))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    matrix = matrix @ np.diag([1 / (zoom * aspect), aspect / zoom])
    bend = cv2.resize(
        rng.uniform(-1, 1, (5, 5, 2)).astype(np.float32), (28, 28), interpolation=cv2.INTER_CUBIC
    )
    shift = 13.5 + rng.normal(0, 0.7 * strength, 2)
    where = GRID @ matrix.T.astype(np.float32) + shift.astype(np.float32)
    where += bend * np.float32(rng.uniform(0, 2.4 * strength))
    return np.asarray(cv2.remap(image, where[..., 0], where[..., 1], cv2.INTER_LINEAR), np.uint8)


def wear(image: Picture, rng: np.random.Generator) -> Picture:
    """Add artefacts of pens and cameras: blur, hard edges, pale ink, a gap, a speck."""
    chance = rng.random()
    if chance < 0.20:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9)), np.uint8)
    elif chance < 0.35:
        level, gain = rng.uniform(60, 150), rng.uniform(2, 6)
        image = np.clip((image.astype(np.float32) - level) * gain + 128, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        image = (image * rng.uniform(0.6, 1.0)).astype(np.uint8)
    if rng.random() < 0.15:
        image = _gap(image, rng)
    if rng.random() < 0.08:
        image = _speck(image, rng)
    return image


def _gap(image: Picture, rng: np.random.Generator) -> Picture:
    ys, xs = np.nonzero(image > 100)
    if len(ys) == 0:
        return image
    at, size = rng.integers(len(ys)), int(rng.integers(2, 4))
    torn = image.copy()
    torn[ys[at] : ys[at] + size, xs[at] : xs[at] + size] = 0
    return torn


def _speck(image: Picture, rng: np.random.Generator) -> Picture:
    (y, x), (height, width) = rng.integers(3, 24, 2), rng.integers(1, 3, 2)
    dirty = image.copy()
    spot = dirty[y : y + height, x : x + width]
    np.maximum(spot, np.uint8(rng.integers(60, 256)), out=spot)
    return dirty
