"""Framing: the ink of a digit -> 28x28 pixels, as MNIST was made.

LeCun, Cortes & Burges, "The MNIST database of handwritten digits": the black and white NIST digits
"were size normalized to fit in a 20x20 pixel box while preserving their aspect ratio. The resulting
images contain grey levels as a result of the anti-aliasing technique used by the normalization
algorithm. The images were centered in a 28x28 image by computing the center of mass of the pixels".
"""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE, BOX = 28, 20
FINE = 8  # the digit is processed at 8 times the box, where strokes have round edges
THINNEST = 2.0  # pixels of 28; a pen thinner than nearly all of MNIST's is thickened to this
PRECISE = 90  # longest side in pixels from which on ink can be averaged down as it is
TOO_WIDE = 1.9  # pixels by which `stroke_width` errs, as it counts from the middle of a pixel
LEAST_INK = 1e-3


def framed(ink: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Frame float32[h, w] (0 = paper, 1 = ink, cropped to the ink) as MNIST's uint8[28, 28]."""
    return centred(boxed(ink if surely_thick(ink) else thickened(enlarged(ink))))


def surely_thick(ink: NDArray[np.float32]) -> bool:
    """Return true if `thickened` would not change this ink, without enlarging it first."""
    if max(ink.shape) < PRECISE:
        return False
    scale: float = FINE * BOX / max(ink.shape)
    return (stroke_width(ink) - TOO_WIDE) * scale + TOO_WIDE > THINNEST * FINE - 0.5


def enlarged(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Enlarge the longest side to FINE times the box, and keep the aspect ratio."""
    scale = FINE * BOX / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    fine = cv2.resize(ink, (width, height), interpolation=how)
    return np.clip(fine, 0, 1)


def stroke_width(ink: NDArray[np.float32]) -> float:
    """Return the width of the pen in pixels: four times the mean distance from ink to paper.

    On a long bar of width w that distance is uniform from 0 to w/2, so its mean is w/4.
    """
    mask = cv2.copyMakeBorder((ink > 0.5).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return 4 * cv2.mean(depth, mask)[0]


def thickened(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thicken strokes that are thinner than MNIST's to THINNEST; keep others unchanged."""
    missing = THINNEST * FINE - stroke_width(fine)
    radius = round(missing / 2)
    if radius < 1:
        return fine
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = cv2.copyMakeBorder(fine, *(radius,) * 4, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.dilate(padded, pen), dtype=np.float32)


def boxed(fine: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Reduce the longest side to BOX pixels, each the mean of those it covers (anti-aliasing)."""
    scale = BOX / max(fine.shape)
    height, width = (max(1, round(side * scale)) for side in fine.shape)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(255 * small), dtype=np.uint8)


def centred(box: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Place a box in 28x28, by whole pixels, so that its centre of mass is in the middle."""
    moments = cv2.moments(box)
    mass = max(moments["m00"], LEAST_INK)
    height, width = box.shape
    left = min(max(0, round(SIDE / 2 - moments["m10"] / mass)), SIDE - width)
    top = min(max(0, round(SIDE / 2 - moments["m01"] / mass)), SIDE - height)
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[top : top + height, left : left + width] = box
    return image


def already_mnist(colours: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return a picture that is in MNIST's form already, be it inverted or enlarged; else None.

    Such a picture is grey and square, its paper is exactly black (or white), its ink's longest side
    has BOX pixels, and its centre of mass is within half a pixel of (14, 14). All 70,000 pictures
    of MNIST pass; no other picture does by chance.
    """
    if colours.ndim == 3 or colours.shape[0] != colours.shape[1]:
        return None
    times, left_over = divmod(colours.shape[0], SIDE)
    if left_over or not 1 <= times <= 10:
        return None
    image = colours if 2 * cv2.countNonZero(colours) < colours.size else ~colours
    if 2 * cv2.countNonZero(image) >= image.size or cv2.minMaxLoc(image)[1] <= 200:
        return None
    small = np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    solid = small > (0 if times == 1 else 24)
    _, _, width, height = cv2.boundingRect(solid.view(np.uint8))
    blur = 2 if times > 1 else 0  # enlarging moves the ink's faint rim
    if not BOX - 1 - blur <= max(width, height) <= BOX + blur:
        return None
    moments = cv2.moments(small)
    off = max(abs(moments[m] / moments["m00"] - 14) for m in ("m10", "m01"))
    return small if off < 0.6 else None
