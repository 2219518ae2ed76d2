"""Loading and unloading by the protocol: an operator's calls, by HTTP and by gRPC."""

from collections.abc import Callable, Collection

from service.api.access import keys
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


def authorise(settings: Settings, authorization: str | None) -> None:
    """Raises NotAllowed unless the header has the operator's key, Unsupported if there is none."""
    key = settings.admin_key
    if key is None:
        raise Unsupported("loading and unloading are off: the service has no FORETELL_ADMIN_KEY")
    scheme, _, sent = (authorization or "").partition(" ")
    keys.authorise(key, sent if scheme.lower() == "bearer" else None)


def check_parameters(names: Collection[str]) -> None:
    """Raises Unsupported for parameters that would change what is loaded."""
    if set(names) - OFFERED:
        raise Unsupported("a model is loaded as it lies in its folder: no parameters")
