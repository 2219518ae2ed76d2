"""Out-of-distribution benchmark: pictures of other things, none of which trained the score.

Drawings, letters and photographs pass the task's own reader, as a caller's uploads do; noise and
textures are uint8[N, 28, 28] as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

from service.contract.image import ImageTask
from service.errors import PictureError
from training.confidence.ood_negatives import stroke

Pictures = NDArray[np.uint8]
Point = tuple[float, float]
Draw = Callable[[np.random.Generator], Pictures]

SIDE = 140
"""The side of a canvas in pixels; drawings keep a margin of 15."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LOOKALIKES = {
    "O": 0, "o": 0, "D": 0, "I": 1, "i": 1, "l": 1, "Z": 2, "z": 2,
    "S": 5, "s": 5, "b": 6, "G": 6, "B": 8, "g": 9, "q": 9,
}  # fmt: skip
"""Letters that look like a digit."""

# Each shape is a list of lines through points, x to the right and y down.
SHAPES: dict[str, list[list[Point]]] = {
    "plus": [[(70, 20), (70, 120)], [(20, 70), (120, 70)]],
    "cross": [[(25, 25), (115, 115)], [(115, 25), (25, 115)]],
    "hash": [[(50, 20), (50, 120)], [(90, 20), (90, 120)], [(20, 50), (120, 50)],
             [(20, 90), (120, 90)]],
    "arrow": [[(15, 70), (125, 70)], [(85, 35), (125, 70), (85, 105)]],
    "house": [[(30, 125), (30, 65), (70, 20), (110, 65), (110, 125), (30, 125)],
              [(60, 125), (60, 95), (80, 95), (80, 125)]],
    "tick": [[(20, 75), (55, 115), (120, 20)]],
    "equals": [[(20, 45), (120, 45)], [(20, 95), (120, 95)]],
    "lightning": [[(85, 10), (45, 75), (90, 70), (50, 130)]],
    "tree": [[(70, 130), (70, 95)], [(70, 10), (25, 95), (115, 95), (70, 10)]],
    "envelope": [[(20, 35), (120, 35), (120, 105), (20, 105), (20, 35), (70, 75), (120, 35)]],
    "square": [[(25, 25), (115, 25), (115, 115), (25, 115), (25, 25)]],
    "triangle": [[(70, 20), (120, 110), (20, 110), (70, 20)]],
    "hexagon": [[(122, 70), (96, 115), (44, 115), (18, 70), (44, 25), (96, 25), (122, 70)]],
    "star": [[(70, 16), (102, 114), (19, 53), (121, 53), (38, 114), (70, 16)]],
}  # fmt: skip


def draw_benchmark(task: ImageTask, count: int, seed: int) -> dict[str, Pictures]:
    """Draw `count` pictures of each kind, by kind; the shapes are `count` in all."""
    rng = np.random.default_rng(seed)
    each = max(1, count // (len(SHAPES) + 3))
    return {
        "noise": noise(count, rng),
        "textures": textures(count, rng),
        "scribbles": read(task, [scribble(rng) for _ in range(count)]),
        "zigzags": read(task, [zigzag(rng) for _ in range(count)]),
        **{f"shape: {name}": read(task, of) for name, of in shapes(each, rng).items()},
        "photographs, cut": read(task, [photograph(rng) for _ in range(count)]),
    }


def letters(task: ImageTask) -> dict[str, Pictures]:
    """Draw each letter, dark on white, in the twelve DejaVu fonts that matplotlib installs."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [file for file in sorted(folder.glob("DejaVu*.ttf")) if "Display" not in file.name]
    fonts = [ImageFont.truetype(str(file), 100) for file in files]
    return {each: read(task, [letter(each, font) for font in fonts]) for each in LETTERS}


def letter(text: str, font: ImageFont.FreeTypeFont) -> Pictures:
    """Draw one letter, dark on a white sheet uint8[160, 160]."""
    sheet = Image.new("L", (160, 160), 255)
    ImageDraw.Draw(sheet).text((80, 80), text, font=font, fill=0, anchor="mm")
    return np.asarray(sheet)


def read(task: ImageTask, pictures: Sequence[Pictures]) -> Pictures:
    """Read pictures as uploads, uint8[N, 28, 28]; leave out those that the reader refuses."""
    accepted = []
    for picture in pictures:
        encoded = BytesIO()
        Image.fromarray(picture).save(encoded, "PNG", compress_level=1)
        try:
            accepted.append(task.read(encoded.getvalue()))
        except PictureError:
            continue
    return np.stack(accepted)


def noise(count: int, rng: np.random.Generator) -> Pictures:
    """Draw uniform, speckled, normal and smooth noise in turn."""
    size = (28, 28)
    makers: tuple[Callable[[], NDArray[Any]], ...] = (
        lambda: rng.uniform(0, 256, size),
        lambda: (rng.random(size) < rng.uniform(0.02, 0.5)) * 255.0,
        lambda: rng.normal(rng.uniform(0, 128), rng.uniform(20, 80), size),
        lambda: (
            rng.uniform(150, 500)
            * np.asarray(cv2.GaussianBlur(rng.normal(size=size), (0, 0), rng.uniform(0.7, 2.5)))
        ),
    )
    return _bytes([makers[number % len(makers)]() for number in range(count)])


def textures(count: int, rng: np.random.Generator) -> Pictures:
    """Draw gratings, chequers, gradients, cells, grids and dots in turn."""
    return _bytes([_texture(number % 6, rng) for number in range(count)])


def _texture(kind: int, rng: np.random.Generator) -> NDArray[Any]:
    y, x = np.mgrid[:28, :28].astype(np.float64)
    angle, wave, phase = rng.uniform(0, np.pi), rng.uniform(3, 9), rng.uniform(0, 6)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    ripple = np.sin(2 * np.pi * u / wave + phase)
    match kind:
        case 0:
            return np.asarray(127 + 127 * ripple)
        case 1:
            return np.asarray(255.0 * ((ripple > 0) ^ (np.sin(2 * np.pi * v / wave) > 0)))
        case 2:
            return np.asarray(255 * (u - u.min()) / np.ptp(u))
        case 3:
            middles = rng.uniform(0, 28, (int(rng.integers(4, 12)), 2))
            far = (x[..., None] - middles[:, 0]) ** 2 + (y[..., None] - middles[:, 1]) ** 2
            return np.asarray(rng.uniform(0, 256, len(middles))[far.argmin(axis=-1)])
        case 4:
            return np.asarray(255.0 * ((x % int(wave + 1) < 2) | (y % int(wave + 1) < 2)))
        case _:
            return np.asarray(
                255.0 * (np.hypot(x % wave - wave / 2, y % wave - wave / 2) < wave * 0.3)
            )


def scribble(rng: np.random.Generator) -> Pictures:
    """Draw a random walk of a pen, which turns back at the edges."""
    at, heading, turn = rng.uniform(40, 100, 2), rng.uniform(0, 2 * np.pi), 0.0
    points = []
    for _ in range(int(rng.integers(60, 220))):
        turn = 0.85 * turn + rng.normal(0, 0.25)
        heading += turn
        at = at + 4 * np.array([np.cos(heading), np.sin(heading)])
        if at.min() < 15 or at.max() > SIDE - 15:
            back = SIDE / 2 - at
            heading, turn = np.arctan2(back[1], back[0]) + rng.normal(0, 0.4), 0.0
            at = at.clip(12, SIDE - 12)
        points.append(at)
    return drawing([points], int(rng.integers(5, 12)))


def zigzag(rng: np.random.Generator) -> Pictures:
    """Draw a line up and down from left to right."""
    corners = int(rng.integers(5, 10))
    heights = np.where(np.arange(corners) % 2, 30, 110) + rng.normal(0, 8, corners)
    line = np.stack([np.linspace(20, 120, corners), heights], axis=1)
    return drawing([line], int(rng.integers(5, 12)))


def shapes(each: int, rng: np.random.Generator) -> dict[str, list[Pictures]]:
    """Draw `each` pictures of every shape, with noise on the points."""
    makers: Mapping[str, Callable[[], Sequence[NDArray[Any]]]] = {
        **{name: lambda lines=lines: [np.array(line, float) for line in lines]  # type: ignore[misc]
           for name, lines in SHAPES.items()},
        "smiley": lambda: [
            ring(70, 70, 54), ring(50, 55, 4), ring(90, 55, 4), ring(70, 72, 28)[3:13]
        ],
        "heart": heart,
        "spiral": lambda: [spiral(rng.uniform(2.2, 3.5))],
    }  # fmt: skip
    return {
        name: [
            drawing(
                [line + rng.normal(0, 0.6 if len(line) > 8 else 4, line.shape) for line in make()],
                int(rng.integers(5, 9)),
            )
            for _ in range(each)
        ]
        for name, make in makers.items()
    }


def ring(x: float, y: float, radius: float) -> NDArray[Any]:
    """Return points [31, 2] of a circle, from the right and downwards."""
    angles = np.linspace(0, 2 * np.pi, 31)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def heart() -> list[NDArray[Any]]:
    """Return the outline of a heart as on playing cards."""
    t = np.linspace(0, 2 * np.pi, 60)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([70 + 3.2 * 16 * np.sin(t) ** 3, 66 - 3.2 * y], axis=1)]


def spiral(turns: float) -> NDArray[Any]:
    """Return points [120, 2] of a spiral from the middle outwards."""
    angles, radius = np.linspace(0, 2 * np.pi * turns, 120), np.linspace(2, 52, 120)
    return np.stack([70 + radius * np.cos(angles), 70 + radius * np.sin(angles)], axis=1)


def drawing(lines: Sequence[object], width: int) -> Pictures:
    """Draw dark lines on white."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    for line in lines:
        stroke(canvas, np.asarray(line, np.float64), width)
    return 255 - canvas


def photograph(rng: np.random.Generator) -> Pictures:
    """Cut a square from one of the two photographs that scikit-learn installs."""
    photo: Pictures = load_sample_images().images[int(rng.integers(2))]
    side = int(rng.integers(60, 400))
    top, left = (int(rng.integers(0, photo.shape[axis] - side)) for axis in (0, 1))
    cut: Pictures = photo[top : top + side, left : left + side]
    return cut.copy()


def _bytes(pictures: Sequence[NDArray[Any]]) -> Pictures:
    return np.asarray(np.clip(np.stack(pictures), 0, 255), np.uint8)
