"""Optimizers that recipes share; each is given the number of steps of the whole fit.

Their keyword parameters, like those of networks, can be varied by `foretell tune`.
"""

import keras


def sgd(_: int, *, learning_rate: float = 0.01) -> keras.optimizers.Optimizer:
    """Plain steps down the gradient."""
    return keras.optimizers.SGD(learning_rate)


def adam(_: int, *, learning_rate: float = 1e-3) -> keras.optimizers.Optimizer:
    """Kingma and Ba 2014, with Keras' own settings."""
    return keras.optimizers.Adam(learning_rate)


def cosine(
    steps: int, *, learning_rate: float = 2e-3, weight_decay: float = 0.01
) -> keras.optimizers.Optimizer:
    """AdamW, its rate to nothing along half a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.AdamW(rate, weight_decay=weight_decay)
