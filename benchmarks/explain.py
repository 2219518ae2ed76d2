"""Milliseconds to explain one row, and the accuracy lost by a smaller background.

    python benchmarks/explain.py [--rounds 9]

All figures are medians on one thread. `usual` is the median of some golden inputs that look like
real rows; `worst` is a row that differs from every reference row in every field. Each line also
has the number of rows that the graph scored, and the share of the time that ONNX Runtime by itself
takes for as many; on a busy machine that share is more reliable than the milliseconds. Smaller
backgrounds keep the reference rows of the greatest weight.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.contract.image import ImageTask
from service.contract.tabular import TabularTask
from service.explain.explain import columns_of, explain, heat_map
from service.explain.shapley import AT_ONCE, owen_values, shapley_values
from service.models.artifacts.artifact import Background, read_artifact
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import ModelLoader
from service.tasks import TASKS

MODELS = Path(__file__).resolve().parent.parent / "models"
USUAL = 9
SIZES = (20, 10, 5, 3)


class Counted:
    """A loaded model that counts the rows it scores."""

    def __init__(self, served: LoadedModel) -> None:
        self.session, self.rows = served.session, 0

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[N] probabilities of float32[N, F] rows."""
        self.rows += len(rows)
        answers: NDArray[np.float32] = self.session.run(rows)["probability"]
        return answers


def median_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the median milliseconds of `rounds` calls after a first one."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def worst_row(task: TabularTask, background: Background) -> NDArray[np.float32]:
    """Return a row that differs from every reference row in every field: the most to score."""
    values = []
    for feature, column in zip(task.features, background.rows.T, strict=True):
        free = set(feature.codes) - set(column.tolist())
        # Where the reference rows use every code, take one that does not exist.
        values.append(min(free or {min(column) - 1}) if feature.codes else max(column) + 1)
    return np.array(values, np.float32)


def of_rows(name: str, rounds: int) -> None:
    """One line for each kind of row, then one for each size of background."""
    served = ModelLoader(MODELS, TASKS, "cpu").load_version(name)
    task, background, score = served.task, served.background, Counted(served)
    assert isinstance(task, TabularTask)
    assert background is not None
    golden, _ = read_artifact(MODELS, name).golden()
    usual, worst = golden[:USUAL], worst_row(task, background)
    groups = columns_of(task)

    def line(kind: str, work: Callable[[], object]) -> None:
        score.rows = 0
        work()
        count = score.rows
        run = np.resize(usual, (min(count, AT_ONCE), usual.shape[1]))
        pairs = [(median_ms(work, 1), median_ms(lambda: score(run), 3)) for _ in range(rounds)]
        spent = statistics.median(ms for ms, _ in pairs)
        alone = statistics.median(ms * count / len(run) for _, ms in pairs)
        print(f"{name}, {kind}: {spent:.1f} ms, {count:,} rows, ONNX Runtime {alone / spent:.0%}")

    middle = sorted(usual, key=lambda row: scored(score, row, background, groups))[USUAL // 2]
    line("usual", lambda: shapley_values(score, middle, background, groups))
    line("worst", lambda: shapley_values(score, worst, background, groups))
    if len(groups) < len(task.features):
        for place in (place for place, group in enumerate(groups) if len(group) > 1):
            kind = f"split of {task.feature_groups[place].name}"
            line(kind, lambda p=place: owen_values(score, middle, background, groups, p))  # type: ignore[misc]
    whole = median_ms(lambda: explain(task, served, middle), rounds)
    print(f"{name}, whole answer: {whole:.1f} ms")
    exact = [shapley_values(score, row, background, groups).parts[:, 0] for row in usual]
    heaviest = np.argsort(-background.weights, kind="stable")
    for size in SIZES:
        some = Background(background.rows[heaviest[:size]], background.weights[heaviest[:size]])
        gaps = [
            np.abs(shapley_values(score, row, some, groups).parts[:, 0] - parts)
            for row, parts in zip(usual, exact, strict=True)
        ]
        ms = median_ms(lambda s=some: shapley_values(score, worst, s, groups), rounds)  # type: ignore[misc]
        print(
            f"{name}, {size} reference rows: {ms:.1f} ms at worst; contributions differ by "
            f"{100 * np.mean(gaps):.2f} points on average, {100 * np.max(gaps):.1f} at most"
        )


def scored(
    score: Counted, row: NDArray[np.float32], background: Background, groups: list[list[int]]
) -> int:
    """Return the number of rows that an explanation scores."""
    score.rows = 0
    shapley_values(score, row, background, groups)
    return score.rows


def main() -> None:
    """Print the figures of heart, credit and digits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for name in ("heart", "credit"):
        of_rows(name, rounds)
    task = TASKS["digits"]
    assert isinstance(task, ImageTask)
    digits = ModelLoader(MODELS, TASKS, "cpu").load_version("digits")
    picture = read_artifact(MODELS, "digits").golden()[0][0]
    drawn = median_ms(lambda: heat_map(task, digits, picture), rounds)
    print(f"digits, heat map: {drawn:.1f} ms")


if __name__ == "__main__":
    main()
