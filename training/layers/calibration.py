"""Calibration: log-odds or log-probabilities scaled to fit rows that were held out."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

NEARLY_SURE = 1e-7
"""The distance that probabilities keep from 0 and 1, where log-odds are infinite."""
TINY = 1e-37
"""The smallest probability before the logarithm, about the smallest float32."""


def fit_log_odds(probability: NDArray[Any], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Fit slope and intercept of a logistic regression of the label on the log-odds.

    (1, 0) is calibrated, a slope below 1 overconfident; there is no penalty. Cox 1958, "Two
    further applications of a model for binary regression".
    """
    sure = np.clip(np.asarray(probability, np.float64), NEARLY_SURE, 1 - NEARLY_SURE)
    odds = np.log(sure / (1 - sure)).reshape(-1, 1)
    fitted = LogisticRegression(C=np.inf, max_iter=1000).fit(odds, labels)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def fit_temperature_factor(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Fit the factor on the log-probabilities of K classes that makes the labels most likely.

    1 is calibrated, less is overconfident. It is the inverse of the temperature of Guo et al.
    2017, "On Calibration of Modern Neural Networks".
    """
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), TINY))
    own = logs[np.arange(len(labels)), labels]

    def loss(slope: float) -> float:
        return float(np.mean(logsumexp(slope * logs, axis=1) - slope * own))

    return float(minimize_scalar(loss, bounds=(0.1, 10), method="bounded").x)


class Calibration(keras.layers.Layer):
    """Calibrated probabilities in the same order; `slope` is the factor on log-odds or logarithms.

    [N, 1] to [N, 1]: Platt scaling, with an intercept; Platt 1999, "Probabilistic outputs for
    support vector machines". [N, K] to [N, K]: temperature scaling.
    """

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__(name="calibration", trainable=False)
        given = keras.initializers.Constant(slope)
        self.slope = self.add_weight(name="slope", initializer=given, trainable=False)
        self.intercept = self.add_weight(name="intercept", initializer="zeros", trainable=False)

    def adapt(self, probabilities: NDArray[Any], labels: NDArray[np.int64]) -> None:
        """Fit to the answers [N, 1] or [N, K] to rows that the network was not fitted to."""
        if probabilities.shape[1] > 1:
            self.slope.assign(fit_temperature_factor(probabilities, labels))
            return
        slope, intercept = fit_log_odds(probabilities.reshape(-1), labels)
        self.slope.assign(slope)
        self.intercept.assign(intercept)

    def call(self, probabilities: keras.KerasTensor) -> keras.KerasTensor:
        """Return calibrated probabilities of the same shape."""
        if probabilities.shape[1] > 1:
            logs = keras.ops.log(keras.ops.maximum(probabilities, TINY))
            return keras.ops.softmax(self.slope * logs)
        sure = keras.ops.clip(probabilities, NEARLY_SURE, 1 - NEARLY_SURE)
        odds = keras.ops.log(sure / (1 - sure))
        return keras.ops.sigmoid(self.slope * odds + self.intercept)
