"""Preprocessing of pictures: the bytes of a file -> uint8[28, 28] in the form of MNIST.

    decode.py   encoded bytes -> colours, upright, no larger than needed
    plain.py    paper of one exact colour -> the pixels that differ from it
    paper.py    any other paper -> how much each pixel stands out from it
    strokes.py  pixels that stand out -> the strokes of one digit
    ink.py      colours -> the ink of one digit, by the three files above
    frame.py    ink -> 28x28, as MNIST was made
    garment.py  a picture of a garment -> 28x28, as Fashion-MNIST was made; uses decode.py only

`docs/method/reading-pictures.md` shows every step.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.decode import MAX_BYTES, MAX_PIXELS, decode, opaque
from service.images.pixels.frame import already_mnist, framed
from service.images.pixels.ink import find_ink

__all__ = ["read_digit"]

# One thread per picture: the service decodes many at once, and scales by processes.
cv2.setNumThreads(1)


def read_digit(
    encoded: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> NDArray[np.uint8]:
    """Decode the picture of one digit into the form of MNIST.

    `encoded` is a whole PNG, JPEG, WEBP, BMP or GIF file (of an animation, the first frame).
    `max_pixels` bounds width times height, `max_bytes` the memory that decoding takes: both before
    it, by what the file's header says.

    Returns uint8[28, 28], 0 = paper, 255 = ink: the digit's longest side is 20 pixels, its centre
    of mass is in the middle. A picture that is in this form already is returned byte for byte.

    Raises UnreadableImage (not one of the formats, truncated, damaged), ImageTooLarge, or
    BlankImage (nothing drawn on it); nothing else, whatever the bytes.
    """
    colours = decode(encoded, max_pixels, max_bytes, flatten=opaque)
    as_it_is = already_mnist(colours)
    return framed(find_ink(colours)) if as_it_is is None else as_it_is
