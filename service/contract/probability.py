"""The check that a model's outputs are probabilities."""

from service.errors import InvalidOutput

ROUNDING = 1e-6
"""By how much a softmax in float32 may exceed 1."""


def check_probabilities(probabilities: list[float]) -> list[float]:
    """The same, none above 1. Raises InvalidOutput unless each is in 0..1, but for rounding."""
    # NaN fails both comparisons. Plain Python, which for a few numbers is several times quicker
    # than NumPy.
    for value in probabilities:
        if not 0 <= value <= 1 + ROUNDING:
            raise InvalidOutput("the model answered a value that is not a probability in 0..1")
    return [min(value, 1.0) for value in probabilities]
