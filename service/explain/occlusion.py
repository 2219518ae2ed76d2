"""Heat maps of pictures, by occlusion.

Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks", section 4.2: paint a
square over the picture, move it everywhere, see by how much the answer's probability falls.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PATCH = 4
"""Side of the square in pixels: about as wide as a stroke."""


def occlusion(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.float64]], picture: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Heat of each pixel of uint8[H, W]: the mean fall, over all squares that cover it.

    `predict` gives the probability of the answer of N pictures; all are scored in one run. A square
    without ink under it changes nothing and is not scored.
    """
    height, width = picture.shape
    corners = [
        (top, left)
        for top in range(height - PATCH + 1)
        for left in range(width - PATCH + 1)
        if picture[top : top + PATCH, left : left + PATCH].any()
    ]
    pictures = np.repeat(picture[None], 1 + len(corners), axis=0)
    for painted, (top, left) in zip(pictures[1:], corners, strict=True):
        painted[top : top + PATCH, left : left + PATCH] = 0
    whole, *scores = predict(pictures)
    heat = np.zeros(picture.shape)
    for score, (top, left) in zip(scores, corners, strict=True):
        heat[top : top + PATCH, left : left + PATCH] += whole - score
    return heat / _cover(height, width)


def _cover(height: int, width: int) -> NDArray[np.float64]:
    """Return the number of squares that cover each pixel."""
    row, column = (
        np.convolve(np.ones(side - PATCH + 1), np.ones(PATCH)) for side in (height, width)
    )
    return np.outer(row, column)
