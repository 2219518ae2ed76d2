"""Outlier-exposure data: made-up pictures that belong to no class, to train a score on.

They are drawings and stains in the form of MNIST's pictures, noise, and pictures of the data set
cut up and recombined or transformed. None is a letter, a texture or a photograph: the benchmark
(`training/confidence/ood_benchmark.py`) has those, so that it holds other kinds than these.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Draw = Callable[[np.random.Generator], Picture | None]

SIDE = 112
"""The side of a canvas to draw on in pixels, four times that of a picture."""
BOX = 20
"""The longest side of a drawing in pixels, as in MNIST."""


def draw_outliers(
    count: int, images: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw outliers of five kinds in turn, as large as `images`, which one kind recombines.

    They are drawn at MNIST's 28x28 and scaled to uint8[count, height, width] of `images`.
    """
    kinds: tuple[Draw, ...] = (
        doodle,
        scrawl,
        stain,
        cloud,
        lambda chance: recombine(images, chance),
    )
    drawn = (draw_nonempty(kinds[number % len(kinds)], rng) for number in range(count))
    return np.stack([scale(picture, images.shape[1:]) for picture in drawn])


def scale(picture: Picture, size: tuple[int, ...]) -> Picture:
    """Scale a picture to rows and columns `size`; one of that size is returned as it is."""
    if picture.shape == size:
        return picture
    height, width = size
    return np.asarray(cv2.resize(picture, (width, height)), np.uint8)


def draw_nonempty(draw: Draw, rng: np.random.Generator) -> Picture:
    """Draw until a picture is not empty, and return it."""
    while (picture := draw(rng)) is None:
        pass
    return picture


def doodle(rng: np.random.Generator) -> Picture | None:
    """Draw a polygon with lines in it, or several unconnected lines and arcs."""
    canvas, width = np.zeros((SIDE, SIDE), np.uint8), int(rng.integers(5, 13))
    strokes = int(rng.integers(2, 6))
    if rng.random() < 0.45:
        corners = int(rng.integers(3, 8))
        turn = np.arange(corners) * 2 * np.pi / corners + rng.normal(0, 0.25, corners)
        angles = rng.uniform(0, 2 * np.pi) + np.sort(turn)
        outline = np.stack([np.cos(angles) * rng.uniform(0.6, 1), np.sin(angles)], axis=1)
        stroke(canvas, outline * rng.uniform(30, 44, (corners, 1)) + SIDE / 2, width, closed=True)
        strokes = int(rng.integers(0, 3))
    for _ in range(strokes):
        if rng.random() < 0.5:
            stroke(canvas, rng.uniform(14, 98, (int(rng.integers(2, 4)), 2)), width)
        else:
            stroke(canvas, arc(rng), width)
    return center_in_box(canvas)


def arc(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return points [N, 2] of a random piece of an ellipse, at least a quarter of it."""
    start, tilt = rng.uniform(0, 2 * np.pi, 2)
    angles = start + np.linspace(0, rng.uniform(np.pi / 2, 2 * np.pi), 30)
    ellipse = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(6, 40, 2)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    return np.asarray(ellipse @ turn.T + rng.uniform(30, 82, 2))


def scrawl(rng: np.random.Generator) -> Picture | None:
    """Draw a smooth line through 4 to 12 random points (Catmull-Rom splines)."""
    points = rng.uniform(12, 100, (int(rng.integers(6, 15)), 2))
    at = np.linspace(0, 1, 12)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * at + (2 * a - 5 * b + 4 * c - d) * at**2)
        + 0.5 * (3 * b - a - 3 * c + d) * at**3
        for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False)
    ]
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    stroke(canvas, np.concatenate(pieces), int(rng.integers(4, 12)))
    return center_in_box(canvas)


def stain(rng: np.random.Generator) -> Picture | None:
    """Draw the bright regions of noise, as a threshold makes of a photograph."""
    light = clouds(84, rng.uniform(1, 3), rng) - rng.uniform(-0.5, 1.5)
    picture = np.clip(light * np.exp(rng.uniform(4, 7)), 0, 255).astype(np.uint8)
    size = int(rng.integers(30, 85))
    return center_in_box(picture[:size, :size])


def cloud(rng: np.random.Generator) -> Picture | None:
    """Draw noise, from white to smooth, in an ellipse or everywhere."""
    light = clouds(28, rng.uniform(0, 2.5), rng)
    gain, level = np.exp(rng.uniform(3.4, 6)), rng.uniform(-100, 255)
    picture = np.clip(light * gain + level, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        where = np.zeros((28, 28), np.uint8)
        middle, axes = rng.integers(9, 20, 2).tolist(), rng.integers(4, 14, 2).tolist()
        cv2.ellipse(where, middle, axes, rng.uniform(0, 180), 0, 360, 1, -1)
        picture *= where
    return None if picture.min() == picture.max() else picture


def clouds(side: int, power: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return noise [side, side] of amplitude frequency**-power, with mean 0 and deviation 1."""
    frequencies = np.fft.fftfreq(side)
    distance = np.hypot(frequencies[:, None], frequencies)
    distance[0, 0] = 1 / side
    light = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / distance**power).real
    return np.asarray((light - light.mean()) / light.std())


def recombine(images: NDArray[np.uint8], rng: np.random.Generator) -> Picture | None:
    """Combine two pictures, one over or beside the other, or permute the quarters of one."""
    one, other = images[rng.integers(len(images), size=2)]
    how = rng.random()
    if how < 0.35:
        return center_in_box(
            np.maximum(one, np.roll(np.rot90(other), rng.integers(-5, 6, 2), (0, 1)))
        )
    if how < 0.7:
        order = np.roll(np.arange(4), rng.integers(1, 4))
        rows, columns = np.divmod(np.arange(4), 2) * np.array(14)
        quarters = [one[y : y + 14, x : x + 14] for y, x in zip(rows, columns, strict=True)]
        a, b, c, d = (np.rot90(quarters[quarter], int(rng.integers(4))) for quarter in order)
        return np.asarray(np.block([[a, b], [c, d]]))
    upright = [np.rot90(each, int(rng.integers(4))).copy() for each in (one, other)]
    halves = [cv2.resize(each, (14, 20), interpolation=cv2.INTER_AREA) for each in upright]
    pair = np.zeros((28, 28), np.uint8)
    pair[4:24] = np.hstack(halves)
    return pair if rng.random() < 0.5 else pair.T


def stroke(
    canvas: Picture, points: NDArray[np.float64], width: int, *, closed: bool = False
) -> None:
    """Draw a line through points [N, 2], x to the right and y down, on a canvas."""
    # shift=4: coordinates are sixteenths of a pixel.
    line = (points * 16).round().astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [line], closed, 255, width, cv2.LINE_AA, shift=4)


def center_in_box(canvas: Picture) -> Picture | None:
    """Scale a drawing into a box of 20 pixels and centre its mass in 28x28, as MNIST does.

    Returns None if fewer than 40 pixels are drawn.
    """
    ys, xs = np.nonzero(canvas > 40)
    if len(ys) < 40:
        return None
    crop = canvas[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    scale = BOX / max(crop.shape)
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    moments = cv2.moments(small)
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    shift = np.array([[1, 0, round(13.5 - x)], [0, 1, round(13.5 - y)]], np.float32)
    return np.asarray(cv2.warpAffine(small, shift, (28, 28)), np.uint8)


TRANSFORMS: dict[str, Callable[[Picture], Picture]] = {
    "left": lambda picture: np.rot90(picture),
    "right": lambda picture: np.rot90(picture, -1),
    "round": lambda picture: np.rot90(picture, 2),
    "mirrored": lambda picture: picture[:, ::-1],
    "upside down": lambda picture: picture[::-1],
}


def draw_transformed(
    count: int,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    transforms: Mapping[int, tuple[str, ...]],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw pictures uint8[count, height, width], each by a transform that leaves it in no class.

    `transforms` names them by class; classes without any are not drawn. If no class has any,
    no picture is.
    """
    fit = np.flatnonzero(np.isin(labels, [label for label, some in transforms.items() if some]))
    if not len(fit):
        return images[:0]
    chosen = rng.choice(fit, count)
    return np.stack(
        [TRANSFORMS[rng.choice(transforms[int(labels[row])])](images[row]) for row in chosen]
    )
