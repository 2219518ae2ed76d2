"""Draw the strips of docs/method/reading-pictures.md: `python docs/method/pictures/make.py`.

Every digit on them is drawn here, stroke by stroke, on paper made here.
"""

import sys
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from service.images.pixels import read_digit  # noqa: E402  run as a file, from anywhere
from service.images.pixels.decode import decode, opaque  # noqa: E402
from service.images.pixels.frame import boxed, centred, enlarged, framed, thickened  # noqa: E402
from service.images.pixels.ink import find_ink, reduced, resized, separated  # noqa: E402
from service.images.pixels.paper import above_paper, best_channel, one_channel, paper, shrunk  # noqa: E402
from service.images.pixels.plain import plain_paper  # noqa: E402
from service.images.pixels.plain import risen as risen_on_plain  # noqa: E402
from service.images.pixels.strokes import (  # noqa: E402
    hysteresis,
    limits_of,
    only_digit,
    strokes,
    without_rules,
)

TILE = 112
WHOLE = slice(0, 240), slice(0, 240)
Picture = NDArray[np.uint8]
rng = np.random.default_rng(7)

TWO = [(85, 95), (100, 65), (130, 55), (155, 75), (150, 105), (85, 185), (165, 180)]
FIVE = [(100, 80), (95, 120), (130, 112), (155, 140), (140, 180), (95, 185)]
BAR = [(112, 52), (160, 50)]


def sheet(*lines: list[tuple[int, int]], ink: tuple[int, ...] = (40, 50, 140), pen: int = 9,
          on: tuple[int, ...] = (228, 224, 214)) -> Picture:  # fmt: skip
    """Strokes on paper, 240x240."""
    picture = np.full((240, 240, 3), on, np.uint8)
    for line in lines:
        cv2.polylines(picture, [np.array(line, np.int32)], False, ink, pen, cv2.LINE_AA)
    return picture


def photographed(picture: Picture, shadow: float = 0.6) -> Picture:
    """A soft gradient, a shadow with an edge, and sensor noise."""
    rows, columns = np.mgrid[:240, :240]
    edge = np.where(rows + 0.5 * columns > 190, shadow, 1.0)
    light = cv2.GaussianBlur(edge, (0, 0), 2) * np.linspace(0.8, 1, 240)
    noise = rng.normal(0, 3, picture.shape)
    return np.asarray(np.clip(picture * light[..., None] + noise, 0, 255), dtype=np.uint8)


def tile(picture: NDArray[np.generic]) -> Picture:
    """Any step's result, stretched to 0..255 unless it is uint8, fitted into a square."""
    shown = picture.astype(np.float32)
    if picture.dtype != np.uint8 or picture.max() <= 1:
        shown = 255 * (shown - shown.min()) / max(float(np.ptp(shown)), 1e-6)
    if shown.ndim == 2:
        shown = np.dstack([shown] * 3)
    scale = TILE / max(shown.shape[:2])
    size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    fitted = cv2.resize(shown, size, interpolation=how)
    square = np.full((TILE, TILE, 3), 128, np.uint8)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = fitted
    return square


def strip(name: str, *pictures: NDArray[np.generic]) -> None:
    """One row of tiles, as docs/pictures/NAME.png."""
    gap = np.full((TILE, 6, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (tile(picture), gap)][:-1]
    file = HERE / f"{name}.png"
    Image.fromarray(np.hstack(row)).quantize(64).save(file, optimize=True)
    print(file.name, file.stat().st_size, "bytes")


def png(picture: Picture) -> bytes:
    """Encode, to go in where a caller's bytes go in."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def all_ink(risen: NDArray[np.float32]) -> Picture:
    """What the thresholds leave of a picture."""
    low, high = limits_of(risen)
    return hysteresis((risen > low).astype(np.uint8), risen, high)


def main() -> None:
    """All strips."""
    photo = photographed(sheet(FIVE, BAR))
    ink = find_ink(photo)
    strip("read_digit", photo, above_paper(photo), ink, read_digit(png(photo)))

    alpha = 255 - sheet(TWO, ink=(0, 0, 0), on=(255, 255, 255))[..., 0]
    white = np.dstack([np.full((240, 240, 3), 255, np.uint8), alpha])
    black = np.dstack([np.zeros((240, 240, 3), np.uint8), alpha])
    checks = np.where(np.indices((240, 240)).sum(axis=0) // 20 % 2, 200, 160).astype(np.float32)
    share = alpha[..., None] / 255
    seen = [
        (checks[..., None] * (1 - share) + layer[..., :3] * share).astype(np.uint8)
        for layer in (white, black)
    ]
    strip(
        "opaque",
        seen[0],
        decode(png(white), 10**6, opaque),
        seen[1],
        decode(png(black), 10**6, opaque),
    )

    green_on_red = sheet(TWO, ink=(60, 140, 60), on=(190, 90, 90))
    grey = cv2.cvtColor(green_on_red, cv2.COLOR_RGB2GRAY)
    channel = best_channel(shrunk(green_on_red))
    strip(
        "one_channel", green_on_red, np.asarray(grey, np.uint8), one_channel(green_on_red, channel)
    )

    drawing = sheet(TWO, pen=14, on=(255, 255, 255))
    plain = plain_paper(drawing)
    assert plain is not None
    there = reduced(drawing[plain.place])
    strip("plain", drawing, drawing[plain.place], there, risen_on_plain(there, plain))

    small = shrunk(photo)
    channel = best_channel(small)
    below = paper(one_channel(small, channel), 25)
    strip("above_paper", photo, one_channel(photo, channel), below, above_paper(photo))

    faint = sheet(TWO, ink=(172, 172, 168))
    cv2.polylines(faint, [np.array(TWO[:4], np.int32)], False, (70, 70, 90), 9, cv2.LINE_AA)
    rough = np.clip(faint + rng.normal(0, 34, faint.shape), 0, 255).astype(np.uint8)
    risen = above_paper(rough)
    low, high = limits_of(risen)
    strip("hysteresis", rough, risen > high, risen > low, all_ink(risen))

    ruled = sheet(TWO)
    for y in range(22, 240, 41):
        cv2.line(ruled, (0, y), (239, y + 2), (80, 90, 140), 2, cv2.LINE_AA)
    risen = above_paper(ruled)
    marked = all_ink(risen)
    strip("without_rules", ruled, marked.copy(), without_rules(marked.copy(), WHOLE, marked.shape))

    form = sheet(FIVE, BAR)
    cv2.rectangle(form, (40, 25), (205, 215), (40, 50, 140), 3)
    for x, y in rng.integers(10, 230, (25, 2)):
        cv2.circle(form, (int(x), int(y)), 1, (40, 50, 140), -1)
    cv2.ellipse(form, (242, 120), (18, 50), 0, 0, 360, (40, 50, 140), 9)
    risen = above_paper(form)
    marked = all_ink(risen)
    strip("only_digit", form, marked, only_digit(marked, risen, WHOLE, marked.shape))

    wide = np.full((960, 960, 3), (228, 224, 214), np.uint8)
    wide[560:800, 120:360] = sheet(TWO)
    wide = np.asarray(np.clip(wide + rng.normal(0, 3, wide.shape), 0, 255), np.uint8)
    _, far = separated(above_paper(resized(wide)))
    strip("find_ink", wide, far, find_ink(wide))

    thin = find_ink(sheet(TWO, pen=2))
    fine = enlarged(thin)
    thick = thickened(fine)
    strip("framed", thin, fine, thick, boxed(thick), centred(boxed(thick)))
    assert np.array_equal(framed(thin), centred(boxed(thick)))
    risen_above = above_paper(photo)
    assert strokes(risen_above, limits_of(risen_above))[1].any()


if __name__ == "__main__":
    main()
