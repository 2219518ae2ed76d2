"""The main reasons of many adverse decisions: columns of a table of answers."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.contract.tabular import TabularTask
from service.explain.explain import LEAST, background_of, columns_of, contributions_of
from service.explain.shapley import shapley_values
from service.models.runtime.loaded import LoadedModel

Reasons = Callable[[NDArray[np.float32], NDArray[np.bool_]], list[list[str | None]]]
"""Rows float32[N, F] and their decisions bool[N] to `count` reasons each, None for want of one."""


def main_reasons(task: TabularTask, served: LoadedModel, count: int) -> Reasons:
    """Return a function to the `count` factors that raised each adverse answer most, in words.

    They are those of `explain`, in points of probability by exact Shapley values; decisions that
    are not adverse have none. Raises NotExplainable for a model without reference rows; the
    function raises InvalidOutput.
    """
    background, groups = background_of(served), columns_of(task)

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return served.session.run(rows)["probability"]

    def reasons(rows: NDArray[np.float32], adverse: NDArray[np.bool_]) -> list[list[str | None]]:
        nothing: list[str | None] = [None] * count
        found = []
        for row, decided in zip(rows, adverse.tolist(), strict=True):
            if not decided:
                found.append(nothing)
                continue
            shares = shapley_values(predict, row, background, groups)
            parts = contributions_of(task, row, task.feature_groups, shares)
            texts = [part.text for part in parts if part.probability >= LEAST]
            found.append([*texts, *nothing][:count])
        return found

    return reasons
