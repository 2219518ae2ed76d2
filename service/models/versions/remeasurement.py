"""Measures versions again that were loaded while the machine was busy, until it is quiet.

A plan made under load has batches that are too small, or none: a model that is batched up to 64
rows on a quiet machine was once given batches of 4 at most, and kept them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import structlog

from service.models.runtime.loaded import LoadedModel
from service.models.runtime.session import OnnxSession

log = structlog.get_logger("foretell")

MAX_ATTEMPTS = 12
FIRST_DELAY = 2.0
"""Seconds from loading to the first attempt; each further delay is twice the one before, so that
the last of 12 is more than two hours after the first."""


@dataclass
class _Attempts:
    made: int
    next: float


class Remeasurement:
    """Decides which models are measured again, and when. For one thread, not the event loop's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without attempts; `clock` gives seconds."""
        self._clock = clock
        self._attempts: WeakKeyDictionary[OnnxSession, _Attempts] = WeakKeyDictionary()

    def wanted(self, model: LoadedModel) -> bool:
        """Return whether a model's plan was made on a busy machine, and attempts are left."""
        attempts = self._attempts.get(model.session)
        return not model.batching.quiet and (attempts is None or attempts.made < MAX_ATTEMPTS)

    def renew(self, model: LoadedModel) -> LoadedModel:
        """Return the model by a plan of a quiet machine, or as it is: not yet, or not any more."""
        if not self.wanted(model):
            return model
        now = self._clock()
        attempts = self._attempts.setdefault(model.session, _Attempts(0, now + FIRST_DELAY))
        if now < attempts.next:
            return model
        attempts.made += 1
        attempts.next = now + FIRST_DELAY * 2**attempts.made
        renewed = model.measured_again()
        if renewed is None:
            if attempts.made == MAX_ATTEMPTS:
                log.warning("machine never quiet", model=model.card.name, attempts=attempts.made)
            return model
        log.info("model measured again", model=model.card.name, **renewed.facts)
        return renewed
