"""Preprocessing of garments: the bytes of a file -> uint8[28, 28] as in Fashion-MNIST."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import BlankImage
from service.images.pixels.decode import MAX_BYTES, MAX_PIXELS, decode, laid_on

SIDE = 28
WHITE = np.full(3, 255.0)
FILLED = 0.9  # of a side; all but a few hundred of the 70,000 pictures are filled to this
CLOSE = 13  # of 255: shades within 5 % of the background count as it, as in Fashion-MNIST


def read_garment(
    encoded: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> NDArray[np.uint8]:
    """Decode a picture of one garment on a plain background into the form of Fashion-MNIST.

    Arguments and errors are those of `service.images.pixels.read_digit`.

    Returns uint8[28, 28], 0 = background. The steps are those of Xiao, Rasul and Vollgraf 2017
    (section 2): transparency becomes white, a plain margin is trimmed, the longest side becomes 28
    pixels, the other one is padded on both sides, and a picture on a light background is inverted.
    One step differs: pictures are reduced by averaging, theirs by subsampling and sharpening. A
    picture of 28x28 keeps its pixels, at most inverted.
    """
    picture = grey(decode(encoded, max_pixels, max_bytes, flatten=on_white))
    background = corners(picture)
    if background > 127:
        picture, background = ~picture, 255 - background
    garment = np.maximum(picture, background) - background
    if garment.max() <= CLOSE:
        raise BlankImage("nothing stands out from the background")
    return picture if picture.shape == (SIDE, SIDE) else padded(resized(trimmed(garment)))


def on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend RGBA onto white, the background of shops' cut-outs; keep other pictures unchanged."""
    return laid_on(WHITE, pixels) if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels


def grey(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the brightness of a picture with one channel or three."""
    if colours.ndim == 2:
        return colours
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)


def corners(picture: NDArray[np.uint8]) -> int:
    """Return the background: the median of the corners, each a 28th of the longest side.

    A garment that fills the picture covers most of the border, but not the corners. Of the 70,000
    pictures of Fashion-MNIST, all on black, this rule takes none for a light background; the median
    of the whole border takes two.
    """
    size = max(1, max(picture.shape) // SIDE)
    ends = np.concatenate([picture[:size], picture[-size:]])
    return int(np.median(np.concatenate([ends[:, :size], ends[:, -size:]], axis=1)))


def trimmed(garment: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Trim the margin that is close to black, except of a square that the garment fills.

    To trim such a square would shift an enlarged picture of the data set by a pixel of 28.
    """
    left, top, width, height = cv2.boundingRect((garment > CLOSE).astype(np.uint8))
    rows, columns = garment.shape
    if rows == columns and max(width, height) >= FILLED * rows:
        return garment
    return garment[top : top + height, left : left + width]


def resized(garment: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize the longest side to 28 pixels, and keep the aspect ratio."""
    scale = SIDE / max(garment.shape)
    height, width = (max(1, round(side * scale)) for side in garment.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(garment, (width, height), interpolation=how), np.uint8)


def padded(garment: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Place a picture in the middle of 28x28."""
    height, width = garment.shape
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[top : top + height, left : left + width] = garment
    return image
