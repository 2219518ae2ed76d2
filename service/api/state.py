"""The state of one process: settings, models, counters, and what its calls share."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import get_args

from service.bulk.tables.job import JobSlots
from service.contract.image import ImageTask
from service.errors import UnknownModel
from service.explain.queue import ExplanationQueue
from service.images.decoders.decoder_process import DecoderSettings
from service.images.decoders.pool import DecoderPool
from service.models.versions.model_versions import State
from service.models.versions.registry import ModelRegistry
from service.models.versions.watcher import Watcher
from service.observability.log_writer import LINES_DROPPED
from service.observability.logs import logs
from service.observability.metrics.families import Gauge
from service.observability.metrics.shared_counters import WORKERS, Metric, SharedCounters
from service.observability.worker_slots import WorkerSlot
from service.settings.settings import Settings
from service.tasks import TASKS

DECODER_DELAY_SECONDS = 1.0
"""Time from the start of the service to the start of the decoders: the models load first."""

STATES = Metric(
    "states",
    ("model", "version"),
    ("default", *get_args(State)),
    (
        Gauge(
            "foretell_model_default_workers",
            "Workers in which a version answers the calls that name none",
            ("default",),
            skip_zeros=True,
        ),
        Gauge(
            "foretell_model_version_workers",
            "Workers in which a version is in a state",
            get_args(State),
            by="state",
            skip_zeros=True,
        ),
    ),
)
"""1 for each state that a version has in a worker, 0 for the others; all 0: it is gone."""


@dataclass(frozen=True)
class Pools:
    """The processes and threads of one run of the service, from its start to its stop."""

    decoders: DecoderPool
    explanations: ExplanationQueue
    job_slots: JobSlots
    uploads: ThreadPoolExecutor
    """One thread for work on uploads that would hold up the event loop: large forms, zip files,
    the answers to several pictures."""

    @classmethod
    def create(cls, settings: Settings, counters: SharedCounters) -> "Pools":
        """Return the pools that settings ask for; `decoders.start` starts the processes."""
        readers = tuple(t.reading for t in TASKS.values() if isinstance(t, ImageTask))
        return cls(
            decoders=DecoderPool(
                settings.decoders,
                DecoderSettings(readers, settings.max_pixels, settings.picture_bytes),
                settings.queue,
                counters,
            ),
            explanations=ExplanationQueue(),
            job_slots=JobSlots(settings.max_bulk_jobs, counters),
            uploads=ThreadPoolExecutor(1, thread_name_prefix="uploads"),
        )

    async def close(self) -> None:
        """End every process and thread; drop the work that waits."""
        await self.decoders.close()
        await asyncio.to_thread(self.explanations.close)
        await asyncio.to_thread(self.job_slots.close)
        await asyncio.to_thread(self.uploads.shutdown, wait=True, cancel_futures=True)


@dataclass
class Lifecycle:
    """The parts of the state that change while the service runs."""

    pools: Pools | None = None
    """None before the start and after the stop."""
    draining: bool = False
    """Set by the first SIGTERM: not ready, and every answer closes its connection."""
    closing: bool = False
    """Set once connections are closed: gRPC begins no call any more."""
    announced: bool = False
    """Set once the supervisor was told that this worker has loaded every model."""


@dataclass(frozen=True)
class ServiceState:
    """Everything that the calls of one process share; a request has it in `scope["state"]`."""

    settings: Settings
    registry: ModelRegistry
    counters: SharedCounters
    slot: WorkerSlot | None
    """The place among several workers; None for a service of one process."""
    lifecycle: Lifecycle = field(default_factory=Lifecycle)

    @classmethod
    def create(cls, settings: Settings, slot: WorkerSlot | None = None) -> "ServiceState":
        """Return the state of a process that has not started yet: no model is loaded."""
        memory = slot.counters_memory if slot else ()
        counters = SharedCounters(memory, slot.number) if slot and memory else SharedCounters()
        registry = ModelRegistry(
            settings.models_dir, TASKS, settings.device, settings.policy, counters, settings.queue
        )
        return cls(
            settings=settings,
            registry=registry,
            counters=counters,
            slot=slot,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load and follow the models while the service runs; close everything afterwards.

        The models load in a thread, so that /livez answers at once.
        """
        watcher = Watcher(self.registry, self.settings.poll_seconds, self.on_refresh)
        watcher.start()
        if self.slot and self.slot.replaces:
            await asyncio.to_thread(watcher.wait)  # the other workers answer meanwhile
        pools = self.lifecycle.pools = Pools.create(self.settings, self.counters)
        loop = asyncio.get_running_loop()
        starting = loop.call_later(DECODER_DELAY_SECONDS, pools.decoders.start)
        yield
        starting.cancel()
        self.lifecycle.pools = None
        await pools.close()
        await asyncio.to_thread(watcher.stop)
        self.registry.close()

    @property
    def pools(self) -> Pools:
        """The processes and threads of the running service."""
        assert self.lifecycle.pools is not None, "the service is not running"
        return self.lifecycle.pools

    def on_refresh(self) -> None:
        """Record the states of the versions, and announce this worker once it is ready.

        The watcher calls it in its thread, after each look at the folder of models.
        """
        self.record_states()
        if self.slot and not self.lifecycle.announced and not self.registry.not_ready():
            self.lifecycle.announced = True
            self.slot.mark_ready()

    def record_states(self) -> None:
        """Count this process as it is now: its id, readiness and log, the state of each version."""
        ready = not self.registry.not_ready()
        for column, value in enumerate((os.getpid(), ready)):
            self.counters.series(WORKERS).values[column] = value
        self.counters.series(LINES_DROPPED).add(logs.take_dropped())
        now = self._version_states()
        for labels in {*self.counters.all_series(STATES), *now}:
            values = self.counters.series(STATES, *labels).values
            for column, name in enumerate(STATES.columns):
                values[column] = name in now.get(labels, ())

    def _version_states(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        states: dict[tuple[str, ...], tuple[str, ...]] = {}
        for name in self.registry.expected:
            try:
                versions = self.registry.versions_of(name)
            except UnknownModel:  # removed meanwhile
                continue
            default = versions.default.card.version if versions.default else None
            for one in versions.states():
                also = ("default",) if one.version == default else ()
                states[name, one.version] = (one.state, *also)
        return states

    def unready_reasons(self) -> dict[str, str]:
        """Return why the service cannot answer, by model, `pictures`, `workers` or `service`.

        Empty if it can. Of several workers each knows its own decoder processes only.

        HTTP, gRPC and the metrics all ask here.
        """
        reasons = self.registry.not_ready()
        if (pools := self.lifecycle.pools) and (down := pools.decoders.down):
            reasons = {"pictures": down} | reasons
        if self.slot and self.slot.missing:
            reasons = {"workers": self.slot.missing} | reasons
        if self.draining:
            reasons = {"service": "it is shutting down"} | reasons
        return reasons

    @property
    def draining(self) -> bool:
        """True after `begin_drain`."""
        return self.lifecycle.draining

    def begin_drain(self) -> None:
        """Turn readiness off and close each connection with its next answer, before a stop."""
        self.lifecycle.draining = True
