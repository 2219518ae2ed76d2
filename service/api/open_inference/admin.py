"""Loading and unloading by the protocol: admin calls, over REST and over gRPC."""

from collections.abc import Callable, Collection

from service.api.access.keys import Caller
from service.errors import Unsupported
from service.models.versions import admin
from service.models.versions.registry import ModelRegistry
from service.settings.settings import Settings

ACTIONS: dict[str, Callable[[ModelRegistry, str], None]] = {
    "load": admin.load,
    "unload": admin.unload,
}
OFFERED = frozenset({"unload_dependents"})
"""Parameters that clients always send; no model depends on another here."""


def authorise(settings: Settings, caller: Caller) -> None:
    """Raises NotAllowed unless the caller is an admin, Unsupported if the service has no key."""
    if settings.admin_key is None:
        raise Unsupported("loading and unloading are off: the service has no FORETELL_ADMIN_KEY")
    caller.require_admin()


def check_parameters(names: Collection[str]) -> None:
    """Raises Unsupported for parameters that would change what is loaded."""
    if set(names) - OFFERED:
        raise Unsupported("a model is loaded as it lies in its folder: no parameters")
