"""Optimizers that recipes share; each is given the number of steps of the whole fit.

Their keyword parameters, like those of networks, can be varied by `foretell tune`.
"""

import keras


def sgd(_: int, *, learning_rate: float = 0.01) -> keras.optimizers.Optimizer:
    """Build plain stochastic gradient descent."""
    return keras.optimizers.SGD(learning_rate)


def adam(_: int, *, learning_rate: float = 1e-3) -> keras.optimizers.Optimizer:
    """Build Adam (Kingma and Ba 2014) with Keras' own settings."""
    return keras.optimizers.Adam(learning_rate)


def cosine(
    steps: int, *, learning_rate: float = 2e-3, weight_decay: float = 0.01
) -> keras.optimizers.Optimizer:
    """Build AdamW with a learning rate that falls to 0 along half a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.AdamW(rate, weight_decay=weight_decay)


def one_cycle(
    steps: int, *, learning_rate: float = 4e-3, weight_decay: float = 0.01
) -> keras.optimizers.Optimizer:
    """Build AdamW with a learning rate that rises for a quarter of the steps, then falls to 0.

    The network keeps the running average of its weights (Polyak and Juditsky 1992), over 500 steps
    or, in a short fit, a tenth of them; the cycle is that of Smith and Topin 2018,
    "Super-convergence".
    """
    rise = steps // 4
    momentum = 1 - 1 / min(500, max(1, steps // 10))
    rate = keras.optimizers.schedules.CosineDecay(
        learning_rate / 25,
        decay_steps=max(1, steps - rise),
        alpha=0.002,
        warmup_target=learning_rate,
        warmup_steps=rise,
    )
    return keras.optimizers.AdamW(
        rate, weight_decay=weight_decay, use_ema=True, ema_momentum=momentum
    )
