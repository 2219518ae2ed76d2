"""Which models are loaded, and why the others are not."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel

from service.artifact import Card, names, read_artifact
from service.errors import ArtifactError, ForetellError, ModelNotReady, UnknownModel
from service.predictor import Device, Predictor
from service.task import ModelRef, Outputs, TabularTask, Task

log = structlog.get_logger("foretell")

INLINE_US = 500.0
"""Models that answer a row within this many microseconds do so on the event loop.

A thread costs 50 to 100 of them, and every other request waits for as long as one runs inline.
"""


@dataclass(frozen=True)
class Served:
    """A model that proved itself and answers requests."""

    task: Task
    card: Card
    predictor: Predictor
    load_ms: float
    row_us: float
    """Median time of one row, measured when it was loaded."""

    @cached_property
    def inline(self) -> bool:
        """Whether it answers on the event loop: sooner than a thread could be woken."""
        return self.row_us <= INLINE_US

    @cached_property
    def ref(self) -> ModelRef:
        """Its name and version, as answers carry them."""
        return ModelRef(name=self.card.name, version=self.card.version)

    async def outputs_of(self, row: Sequence[float | None]) -> Outputs:
        """What the graph makes of one row, its values in declared order; None becomes NaN.

        On the event loop or off it, as suits this model. To be used before anything is awaited.
        """
        if self.inline:
            return self.predictor.predict_row(row)
        batch = np.array([row], self.predictor.input.dtype)
        return await asyncio.to_thread(self.predictor.predict, batch)

    @cached_property
    def write(self) -> Callable[[Outputs], bytes]:
        """As TabularTask.writer."""
        assert isinstance(self.task, TabularTask)
        return self.task.writer(self.ref, self.card.threshold)

    async def answers(self, batch: NDArray[Any]) -> Sequence[BaseModel]:
        """As `predict`, on the event loop or off it, whichever suits this model."""
        return self.predict(batch) if self.inline else await asyncio.to_thread(self.predict, batch)

    def predict(self, batch: NDArray[Any]) -> Sequence[BaseModel]:
        """One answer for each row of a batch, as the task words it."""
        outputs = self.predictor.predict(batch)
        return self.task.answers(outputs, self.ref, self.card.threshold)


@dataclass
class Repository:
    """Models by name, from one folder, on one device.

    Expected are one model for each task, under the task's name, and whatever else lies in the
    folder (other recipes of a task, say). Each is loaded alone: one that fails disturbs no other.
    """

    models_dir: Path
    tasks: Mapping[str, Task]
    device: Device = "auto"
    _served: dict[str, Served] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> list[str]:
        """Names of all models that have to be loaded before the service is ready."""
        return sorted({*self.tasks, *names(self.models_dir), *self._served, *self._refused})

    def load_all(self) -> None:
        """Load every expected model; why one fails is logged, and kept for `not_ready`."""
        for name in self.expected:
            try:
                self._served[name] = served = self.load(name)
            except ForetellError as error:
                self._refused[name] = str(error)
                log.error("model refused", model=name, reason=str(error))
            except Exception as error:  # one broken model must not keep the others from loading
                self._refused[name] = f"{type(error).__name__}: {error}"
                log.exception("model refused", model=name)
            else:
                self._refused.pop(name, None)
                log.info(
                    "model loaded",
                    model=name,
                    version=served.card.version,
                    provider=served.predictor.provider,
                    load_ms=round(served.load_ms, 1),
                    row_us=round(served.row_us, 1),
                    inline=served.inline,
                )

    def get(self, name: str) -> Served:
        """The model that answers under `name`. Raises UnknownModel or ModelNotReady."""
        if served := self._served.get(name):
            return served
        if name not in self.expected:
            raise UnknownModel(name, self.expected)
        raise ModelNotReady(name, self._refused.get(name, "it is being loaded"))

    def choose(self, task: str, model: str | None = None) -> Served:
        """The model that answers a request to a task: the one asked for, or else the task's own.

        Raises UnknownModel, also for a model of another task, or ModelNotReady.
        """
        name = task if model is None else model
        if name in self._served or name in self.expected:
            served = self.get(name)
            if served.task.name == task:
                return served
        known = sorted(n for n, served in self._served.items() if served.task.name == task)
        raise UnknownModel(name, known, task)

    def close(self) -> None:
        """Let go of every session."""
        self._served.clear()

    def not_ready(self) -> dict[str, str]:
        """Reason by name for each expected model that cannot answer; empty when all can."""
        reasons = {name: "it is being loaded" for name in self.expected if name not in self._served}
        return reasons | {n: r for n, r in self._refused.items() if n in reasons}

    def load(self, name: str) -> Served:
        """Load the newest version of a model, and prove it: files, contract, golden answers.

        Raises UnknownModel, ArtifactError or DeviceUnavailable.
        """
        start = time.perf_counter()
        artifact = read_artifact(self.models_dir, name)
        card = artifact.card
        task = self.tasks.get(card.task)
        if task is None:
            raise ArtifactError(
                f"task {card.task!r} is unknown; there are: {', '.join(self.tasks)}"
            )
        artifact.verify(task.contract)
        predictor = Predictor(artifact.model, self.device)
        predictor.check_signature(task.contract)
        batch, answers = artifact.golden()
        predictor.check_golden(batch, answers, tolerance=card.golden.tolerance)
        row_us = predictor.row_us(batch[0])
        return Served(task, card, predictor, (time.perf_counter() - start) * 1000, row_us)
