"""Answers compared with what became true: discrimination, calibration and decisions.

Figures are those of Hanley and McNeil 1982 (AUC as the probability that a yes is ranked above a no,
ties half), Brier 1950, and the log-loss in nats; the expected calibration error takes ten bins of
equal width (Naeini, Cooper and Hauskrecht 2015).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bulk.tables.chunks import Column, ScoredChunk
from service.bulk.tables.header import is_nothing
from service.bulk.tables.options import TableOptions
from service.contract.rows import RowTask
from service.contract.tables import plain, plain_word

BINS = 10
HALF = 0.5
NEARLY_SURE = 1e-7
MOST_VALUES = 5
"""Values of a truth column that a message shows."""


@dataclass(frozen=True)
class TruthValues:
    """A truth column of some rows: float64[N], words as 0 and 1, NaN where it says nothing.

    `unknown` are the values that are neither numbers nor known words, with how often each comes.
    """

    numbers: NDArray[np.float64]
    unknown: Counter[str]


def truth_values(task: RowTask, column: Column) -> TruthValues:
    """Return what a truth column says of its rows."""
    truth = task.tables.truth
    words = {plain_word(word): 1 for word in truth.yes} | {plain_word(word): 0 for word in truth.no}
    found = column.numbers(words)
    untold = np.isnan(found.values)
    if found.missing is not None:
        untold &= ~found.missing
    shown = (column.raw_value(int(row)) or "" for row in np.flatnonzero(untold))
    return TruthValues(found.values, Counter(x for x in shown if not is_nothing(x.strip('"'))))


@dataclass
class Outcomes:
    """The answers to a table and the truth beside them, collected chunk by chunk."""

    task: RowTask
    options: TableOptions
    _probabilities: list[NDArray[np.float64]] = field(default_factory=list)
    _truth: list[NDArray[np.float64]] = field(default_factory=list)
    _unknown: Counter[str] = field(default_factory=Counter)
    _bad: int = 0

    def add(self, scored: ScoredChunk, truth: TruthValues) -> None:
        """Add some rows and what is true of them; bad rows count apart."""
        good = ~scored.bad
        self._bad += int(scored.bad.sum())
        self._probabilities.append(scored.values[0][good])
        self._truth.append(truth.numbers[good])
        self._unknown += truth.unknown

    def evaluation(self, threshold: float, named: bool = True) -> dict[str, Any]:
        """Return the figures as JSON has them, or an `error` where the column is no truth.

        `named` is False for a table without a line of names, whose truth may be graded or a pair.
        """
        if not (self._truth and self.task.has_threshold):
            return {"error": f"nothing to compare with: no row has {self.options.truth!r}"}
        probability, numbers = map(np.concatenate, (self._probabilities, self._truth))
        if self._unknown:
            first = [
                f"{value} in {count:,}" for value, count in self._unknown.most_common(MOST_VALUES)
            ]
            return {"error": self._no_truth(first, len(self._unknown))}
        told = ~np.isnan(numbers)
        probability, numbers = probability[told], numbers[told]
        values = np.unique(numbers)
        truth, meaning = self._decided(numbers, values, named)
        if truth is None:
            return {"error": meaning}
        facts = {
            "truth": self.options.truth,
            "meaning": meaning,
            "rows": len(truth),
            "rows_without_truth": int((~told).sum()),
            "rows_not_scored": self._bad,
        }
        found = figures(probability, truth, threshold)
        if found["auc"] is not None and found["auc"] < HALF:
            facts["note"] = "the AUC is below one half: the column may mean the opposite"
        return facts | found

    def _decided(
        self, numbers: NDArray[np.float64], values: NDArray[np.float64], named: bool
    ) -> tuple[NDArray[np.bool_] | None, str]:
        """Return what became true, bool[N], and the meaning of the values in words."""
        tables, codes = self.task.tables, set(values.tolist())
        yes = self.task.decision if hasattr(self.task, "decision") else "yes"
        if not codes:
            return None, f"no scored row has a value in {self.options.truth!r}"
        coding = tables.coding_named(self.options.coding or "")
        if coding is not None and coding.truth and codes <= set(coding.truth):
            chosen = [code for code, decided in coding.truth.items() if decided]
            return np.isin(numbers, chosen), f"{chosen[0]} is {yes}, as in the coding {coding.name}"
        truth = tables.truth
        graded = plain(self.options.truth or "") == plain(truth.names[0] if truth.names else "")
        if truth.pair is not None and codes == set(truth.pair) and not (graded and named):
            return numbers == truth.pair[1], f"{truth.pair[1]} is {yes}"
        if codes <= set(truth.grades):
            or_more = " or more" if len(truth.grades) > truth.least + 1 else ""
            return numbers >= truth.least, f"{truth.least}{or_more} is {yes}"
        first = [f"{value:g}" for value in values[:MOST_VALUES]]
        return None, self._no_truth(first, len(values))

    def _no_truth(self, first: Sequence[str], count: int) -> str:
        """Return the words for a column of which `first` are some of `count` values."""
        grades = ", ".join(map(str, self.task.tables.truth.grades))
        return (
            f"{self.options.truth!r} is no truth: expected {grades} or words for yes and no, got "
            f"{', '.join(first)}{' …' if count > len(first) else ''}"
        )


def figures(
    probability: NDArray[np.float64], truth: NDArray[np.bool_], threshold: float
) -> dict[str, Any]:
    """Return the figures of N answers, float64[N], against what became true, bool[N]."""
    sure = np.clip(probability, NEARLY_SURE, 1 - NEARLY_SURE)
    decided = probability >= threshold
    positives, negatives = int(truth.sum()), int((~truth).sum())
    bins = _bins(probability, truth)
    error = sum(each["rows"] * abs(each["predicted"] - each["observed"]) for each in bins)
    hits = int((decided & truth).sum())
    alarms = int((decided & ~truth).sum())
    return {
        "positives": positives,
        "auc": _auc(probability, truth) if positives and negatives else None,
        "log_loss": float(-np.mean(np.log(np.where(truth, sure, 1 - sure)))),
        "brier": float(np.mean((probability - truth) ** 2)),
        "predicted_rate": float(probability.mean()),
        "observed_rate": float(truth.mean()),
        "expected_calibration_error": error / len(truth),
        "calibration": bins,
        "threshold": threshold,
        "accuracy": float(np.mean(decided == truth)),
        "sensitivity": hits / positives if positives else None,
        "specificity": 1 - alarms / negatives if negatives else None,
        "confusion": {
            "true_positive": hits,
            "false_positive": alarms,
            "false_negative": positives - hits,
            "true_negative": negatives - alarms,
        },
    }


def _auc(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    _, places, counts = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # of equals the mean
    yes = int(truth.sum())
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * (len(truth) - yes)))


def _bins(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> list[dict[str, Any]]:
    places = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        {
            "from": place / BINS,
            "to": (place + 1) / BINS,
            "rows": int(here.sum()),
            "predicted": float(probability[here].mean()),
            "observed": float(truth[here].mean()),
        }
        for place in range(BINS)
        if (here := places == place).any()
    ]
