"""Follows the folder of models, in a thread beside the one that answers."""

from collections.abc import Callable
from threading import Event, Thread

import structlog

from service.models.versions.registry import ModelRegistry

log = structlog.get_logger("foretell")


class Watcher:
    """Loads the models when it starts; from then on does what the folder says, until stopped.

    `looked` is called after each look, in its thread.

    It looks every few seconds. Notifications by the kernel would be quicker, and do not arrive from
    network volumes, from some mounts of containers, or from another machine: looking always works,
    and costs a fraction of a millisecond.
    """

    def __init__(
        self, registry: ModelRegistry, poll_seconds: float, looked: Callable[[], None]
    ) -> None:
        self._registry, self._poll_seconds, self._looked = registry, poll_seconds, looked
        self._stopped, self._loaded = Event(), Event()
        self._thread = Thread(target=self._run, name="models", daemon=True)

    def start(self) -> None:
        """Begin to load, and return at once."""
        self._thread.start()

    def wait(self) -> None:
        """Return once every model has been loaded or refused."""
        self._loaded.wait()

    def stop(self) -> None:
        """Return once what is being loaded is loaded, and nothing more will be."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        self._refresh()
        while self._poll_seconds and not self._stopped.wait(self._poll_seconds):
            self._refresh()

    def _refresh(self) -> None:
        try:
            self._registry.refresh()
        except Exception:  # a folder that cannot be read now may be readable soon
            log.exception("the folder of models cannot be followed")
        self._loaded.set()
        self._looked()
