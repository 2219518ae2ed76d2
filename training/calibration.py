"""Probabilities that mean what they say: log-odds stretched and shifted to fit rows held back."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

NEARLY_SURE = 1e-7
"""Probabilities are kept this far from 0 and 1, where log-odds are infinite."""


def of_log_odds(probability: NDArray[Any], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Slope and intercept of a logistic regression of the label on the log-odds.

    (1, 0) is calibrated, a slope below 1 overconfident; nothing is penalised. Cox 1958, "Two
    further applications of a model for binary regression".
    """
    sure = np.clip(np.asarray(probability, np.float64), NEARLY_SURE, 1 - NEARLY_SURE)
    odds = np.log(sure / (1 - sure)).reshape(-1, 1)
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(odds, labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


class Calibration(keras.layers.Layer):
    """Probabilities [N, 1] to calibrated ones, in the same order: Platt scaling of the log-odds.

    Platt 1999, "Probabilistic outputs for support vector machines".
    """

    def __init__(self) -> None:
        super().__init__(name="calibration", trainable=False)
        self.slope = self.add_weight(name="slope", initializer="ones", trainable=False)
        self.intercept = self.add_weight(name="intercept", initializer="zeros", trainable=False)

    def adapt(self, probability: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Learn from the answers to N rows that the network was not fitted to."""
        slope, intercept = of_log_odds(probability.reshape(-1), labels)
        self.slope.assign(slope)
        self.intercept.assign(intercept)

    def call(self, probability: keras.KerasTensor) -> keras.KerasTensor:
        """[N, 1] to [N, 1]."""
        sure = keras.ops.clip(probability, NEARLY_SURE, 1 - NEARLY_SURE)
        odds = keras.ops.log(sure / (1 - sure))
        return keras.ops.sigmoid(self.slope * odds + self.intercept)
