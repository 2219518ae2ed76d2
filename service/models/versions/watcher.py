"""A thread that follows the folder of models, beside the one that answers."""

from collections.abc import Callable
from threading import Event, Thread

import structlog

from service.models.versions.registry import ModelRegistry
from service.models.versions.remeasurement import FIRST_DELAY

log = structlog.get_logger("foretell")


class Watcher:
    """Loads the models when it starts, and refreshes them every `poll_seconds` until it is stopped.

    Models that were timed on a busy machine are measured again here, also without polling.
    `looked` is called after each refresh, on the watcher's thread.

    Notifications by the kernel would be quicker, but do not arrive from network volumes, from some
    mounts of containers, or from another machine; polling always works, and costs a fraction of a
    millisecond.
    """

    def __init__(
        self, registry: ModelRegistry, poll_seconds: float, looked: Callable[[], None]
    ) -> None:
        self._registry, self._poll_seconds, self._looked = registry, poll_seconds, looked
        self._stopped, self._loaded = Event(), Event()
        self._thread = Thread(target=self._run, name="models", daemon=True)

    def start(self) -> None:
        """Start to load, and return at once."""
        self._thread.start()

    def wait(self) -> None:
        """Return once every model has been loaded, or found to be invalid."""
        self._loaded.wait()

    def stop(self) -> None:
        """Finish what is being loaded, and load nothing more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        self._refresh()
        while self._poll_seconds or self._registry.awaits_quiet:
            if self._stopped.wait(self._poll_seconds or FIRST_DELAY):
                return
            if self._poll_seconds:
                self._refresh()
            self._measure_again()

    def _refresh(self) -> None:
        try:
            self._registry.refresh()
        except Exception:  # a folder that cannot be read now may be readable soon
            log.exception("the folder of models cannot be followed")
        self._loaded.set()
        self._looked()

    def _measure_again(self) -> None:
        try:
            self._registry.measure_again()
        except Exception:  # the plans that were made before go on
            log.exception("models cannot be measured again")
