"""Exact Shapley values of a row against reference rows.

The value of a coalition of players (groups of fields) is the mean answer to rows that have the
coalition's fields from the row explained and all others from a reference row, over the reference
rows by weight: the interventional, or marginal, value function (Lundberg and Lee 2017, "A unified
approach to interpreting model predictions"; Janzing, Minorics and Bloebaum 2020, "Feature relevance
quantification in explainable AI"). Shapley 1953, "A value for n-person games", shares it out; where
one player is split into its fields, Owen 1977, "Values of games with a priori unions".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from service.contract.probability import check_probability_array
from service.models.artifacts.artifact import Background

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Rows float32[N, F] to probabilities float32[N]."""
Groups = Sequence[Sequence[int]]
"""The columns of each player."""

AT_ONCE = 2048
"""Rows of one run: with more, a network's layers leave the processor's caches."""
NEARLY_SURE = 1e-7
"""Log-odds are those of probabilities this far from 0 and 1 at least: float32 resolves no more."""


@dataclass(frozen=True, eq=False)
class Attributions:
    """`base` + the sum of `parts` = the model's answer, in both scales: probability, log-odds.

    `base` is float64[2], the mean answer to the reference rows; `parts` float64[players, 2].
    """

    base: NDArray[np.float64]
    parts: NDArray[np.float64]


def shapley_values(
    predict: Predict, row: NDArray[np.float32], background: Background, groups: Groups
) -> Attributions:
    """Return the Shapley value of each group for `row`, float32[F]; every column is in one group.

    Where the row agrees with a reference row in a group, that group changes nothing, whatever the
    others do: its share is 0, without evaluation. A reference row costs 2^(groups that differ)
    rows, and the result is exact all the same. Raises InvalidOutput.
    """
    return _shares(predict, row, background, [], groups)


def owen_values(
    predict: Predict, row: NDArray[np.float32], background: Background, groups: Groups, split: int
) -> Attributions:
    """Return the Owen value of each column of `groups[split]`; the other groups stay whole.

    The parts add up to the group's Shapley value; the base is that of the whole answer. A reference
    row costs 2^(other groups and own columns that differ) rows. Raises InvalidOutput.
    """
    others = [group for number, group in enumerate(groups) if number != split]
    return _shares(predict, row, background, others, [[column] for column in groups[split]])


def to_log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return finite log-odds."""
    sure = np.clip(probability, NEARLY_SURE, 1 - NEARLY_SURE)
    return np.log(sure / (1 - sure))


def answers_to(predict: Predict, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probabilities of N rows, in runs of AT_ONCE. Raises InvalidOutput."""
    runs = [predict(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE)]
    return check_probability_array(np.concatenate(runs))


def _shares(
    predict: Predict,
    row: NDArray[np.float32],
    background: Background,
    whole: Groups,
    players: Groups,
) -> Attributions:
    """Return the attributions of `players`, united if some groups stay `whole`."""
    differs = (row != background.rows) & ~(np.isnan(row) & np.isnan(background.rows))
    games = []
    for reference, columns in zip(background.rows, differs, strict=True):
        others = [group for group in whole if columns[list(group)].any()]
        shown = [n for n, group in enumerate(players) if columns[list(group)].any()]
        games.append((shown, others, _mixed(row, reference, others + [players[n] for n in shown])))
    answers = answers_to(predict, np.concatenate([rows for _, _, rows in games]))
    # The row alone, as a prediction asks for it, so that both say the same to the last bit.
    itself = answers_to(predict, row[None])
    base, parts = np.zeros(2), np.zeros((len(players), 2))
    weights = background.weights / background.weights.sum()
    for weight, (shown, others, rows) in zip(weights, games, strict=True):
        own, answers = answers[: len(rows)], answers[len(rows) :]
        own[-1:] = itself
        scales = np.stack([own, to_log_odds(own)], axis=1)
        base += weight * scales[0]
        parts[shown] += weight * (_weights(len(others), len(shown)) @ scales)
    return Attributions(base, parts)


def _mixed(
    row: NDArray[np.float32], reference: NDArray[np.float32], players: Groups
) -> NDArray[np.float32]:
    """Return a row for each coalition, in the order of `_members`; the last one equals the row."""
    rows = reference[None]
    for columns in map(list, players):
        joined = rows.copy()
        joined[:, columns] = row[columns]
        rows = np.concatenate([rows, joined])
    return rows


@lru_cache(maxsize=32)
def _members(players: int) -> NDArray[np.bool_]:
    """[2^n, n]: whether a player is in a coalition; the n bits of the coalition's number."""
    return (np.arange(1 << players)[:, None] >> np.arange(players) & 1).astype(bool)


@lru_cache(maxsize=64)
def _weights(whole: int, players: int) -> NDArray[np.float64]:
    """[players, 2^(whole + players)]: what each coalition's value counts for in a player's share.

    A player joins each coalition of the others with the chance that it meets just them, all orders
    being equally likely: among the players, and of their union among the groups that stay whole.
    """
    joined = _members(players).sum(axis=1)
    signs = np.where(_members(players).T, 1.0, -1.0)
    before = joined - _members(players).T
    own = signs / (players * _combinations(players - 1)[before]) if players else signs
    met = 1 / ((whole + 1) * _combinations(whole)[_members(whole).sum(axis=1)])
    # The groups' bits are the low ones.
    return np.asarray((own[:, :, None] * met).reshape(players, 1 << (whole + players)))


def _combinations(n: int) -> NDArray[np.float64]:
    return np.array([comb(n, k) for k in range(n + 1)], np.float64)
