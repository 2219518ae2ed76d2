"""A picture of a sign to uint8[32, 32]."""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.decode import MAX_BYTES, MAX_PIXELS, decode, opaque


def read_sign(
    encoded: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> NDArray[np.uint8]:
    """Read brightness and scale to 32x32. Raises UnreadableImage, ImageTooLarge or BlankImage."""
    colours = decode(encoded, max_pixels, max_bytes, flatten=opaque)
    grey = colours if colours.ndim == 2 else cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA), np.uint8)
