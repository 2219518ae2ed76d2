"""A picture of one digit -> what MNIST holds. `garment.py` is of garments and shares `decode.py`.

    decode.py   encoded bytes -> colours, upright, no larger than needed
    plain.py    paper of one exact colour: what stands out is what differs
    paper.py    any other paper: colours -> what stands out from it
    strokes.py  what stands out -> the strokes of one digit
    ink.py      all three together: colours -> where there is ink, and how much
    frame.py    ink -> 28x28, as MNIST was made

`docs/method/reading-pictures.md` shows every step.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from service.images.pixels.decode import decode, opaque
from service.images.pixels.frame import already_mnist, framed
from service.images.pixels.ink import find_ink

__all__ = ["read_digit"]

# One thread a picture: the service reads many at once, and scales by processes.
cv2.setNumThreads(1)


def read_digit(encoded: bytes, *, max_pixels: int = 50_000_000) -> NDArray[np.uint8]:
    """Read the one digit in an encoded picture, in the form of MNIST.

    `encoded` is a whole PNG, JPEG, WEBP, BMP or GIF file (of an animation, the first frame).
    `max_pixels` bounds width times height as the file's header gives them, before decoding.

    Returns uint8[28, 28], 0 = paper, 255 = ink: the digit's longest side is 20 pixels, its centre
    of mass is in the middle. A picture that is MNIST already comes back byte for byte.

    Raises UnreadableImage (not one of the formats, truncated, damaged), ImageTooLarge, or
    BlankImage (nothing drawn on it); nothing else, whatever the bytes.
    """
    colours = decode(encoded, max_pixels, flatten=opaque)
    as_it_is = already_mnist(colours)
    return framed(find_ink(colours)) if as_it_is is None else as_it_is
