"""The check that a model's outputs are probabilities, of a few numbers and of arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidOutput

ROUNDING = 1e-6
"""A softmax or sigmoid in float32 may exceed 1 by as much."""
REFUSAL = "the model answered a value that is not a probability in 0..1"


def check_probabilities(probabilities: list[float]) -> list[float]:
    """Return the same, none above 1. Raises InvalidOutput unless each is in 0..1, but for rounding.

    Plain Python, which for a few numbers is several times quicker than NumPy.
    """
    for value in probabilities:
        if not 0 <= value <= 1 + ROUNDING:  # NaN fails both comparisons
            raise InvalidOutput(REFUSAL)
    return [min(value, 1.0) for value in probabilities]


def check_probability_array(probabilities: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return an array of any shape in float64, none above 1. Raises as `check_probabilities`.

    The digits are those that a row by itself is answered: Python's floats are float64.
    """
    exact = probabilities.astype(np.float64)
    if exact.size and not (exact.min() >= 0 and exact.max() <= 1 + ROUNDING):
        raise InvalidOutput(REFUSAL)
    return np.minimum(exact, 1.0)


def invalid_row(probabilities: NDArray[Any]) -> int | None:
    """Return the first row of an array [N, ...] that holds anything else, or None."""
    if probabilities.min() >= 0 and probabilities.max() <= 1 + ROUNDING:
        return None
    return int(np.argwhere(~((probabilities >= 0) & (probabilities <= 1 + ROUNDING)))[0, 0])


def decide(probability: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Return which probabilities reach a threshold.

    Of a model's float32 outputs they are float64 first, as Python's floats are: against a threshold
    that float32 rounds, 0.3 say, the same output would decide otherwise.
    """
    return np.asarray(probability >= threshold)
