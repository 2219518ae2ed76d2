"""Made-up pictures of nothing that a network learns to name: what a familiarity is taught on.

Drawings and stains in the form of MNIST's pictures, clouds of light, and the pictures of the data
set itself, taken apart. None is a letter, a texture or a photograph: those are for
`training/confidence/ood_benchmark.py`, which reports on pictures of other kinds than these.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Draw = Callable[[np.random.Generator], Picture | None]

SIDE = 112
"""Of a canvas to draw on, four times that of a picture."""
BOX = 20
"""The longest side of a drawing, as MNIST's makers framed theirs."""


def draw_outliers(
    count: int, images: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """uint8[count, 28, 28]: every kind as often; `images` uint8[N, 28, 28] are taken apart."""
    kinds: tuple[Draw, ...] = (
        doodle,
        scrawl,
        stain,
        cloud,
        lambda chance: recombine(images, chance),
    )
    return np.stack([draw_nonempty(kinds[number % len(kinds)], rng) for number in range(count)])


def draw_nonempty(draw: Draw, rng: np.random.Generator) -> Picture:
    """One picture: the first that is not empty."""
    while (picture := draw(rng)) is None:
        pass
    return picture


def doodle(rng: np.random.Generator) -> Picture | None:
    """Corners and arcs: a polygon with lines in it, or several strokes at odds."""
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
    """A piece of an ellipse, a quarter of it at least; [N, 2]."""
    start, tilt = rng.uniform(0, 2 * np.pi, 2)
    angles = start + np.linspace(0, rng.uniform(np.pi / 2, 2 * np.pi), 30)
    ellipse = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(6, 40, 2)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    return np.asarray(ellipse @ turn.T + rng.uniform(30, 82, 2))


def scrawl(rng: np.random.Generator) -> Picture | None:
    """A smooth line through 4 to 12 points at random (Catmull-Rom splines)."""
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
    """The bright places of a cloud, as a camera and a threshold make of a photograph."""
    light = clouds(84, rng.uniform(1, 3), rng) - rng.uniform(-0.5, 1.5)
    picture = np.clip(light * np.exp(rng.uniform(4, 7)), 0, 255).astype(np.uint8)
    size = int(rng.integers(30, 85))
    return center_in_box(picture[:size, :size])


def cloud(rng: np.random.Generator) -> Picture | None:
    """Noise, from white to soft; in an ellipse or everywhere."""
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
    """Noise whose amplitudes fall with the frequency to this power; mean 0, deviation 1."""
    frequencies = np.fft.fftfreq(side)
    distance = np.hypot(frequencies[:, None], frequencies)
    distance[0, 0] = 1 / side
    light = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / distance**power).real
    return np.asarray((light - light.mean()) / light.std())


def recombine(images: NDArray[np.uint8], rng: np.random.Generator) -> Picture | None:
    """Two pictures side by side or over each other, or one with its quarters changed about."""
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
        a, b, c, d = (np.rot90(quarters[place], int(rng.integers(4))) for place in order)
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
    """What is drawn, in a box of 20 pixels with its centre of mass in the middle of 28x28.

    None if next to nothing is drawn.
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
    invalidating_transforms: Mapping[int, tuple[str, ...]],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """uint8[count, 28, 28]: pictures turned in one of the `invalidating_transforms` that leave none of their kind."""
    fit = np.flatnonzero(
        np.isin(labels, [label for label, some in invalidating_transforms.items() if some])
    )
    chosen = rng.choice(fit, count)
    return np.stack(
        [
            TRANSFORMS[rng.choice(invalidating_transforms[int(labels[place])])](images[place])
            for place in chosen
        ]
    )
