"""The admin key, and the check of it."""

import hmac

from pydantic import SecretStr

from service.errors import NotAllowed


def authorise(key: SecretStr, sent: str | None) -> None:
    """Raises NotAllowed unless `sent` is the operator's key."""
    if sent is None or not hmac.compare_digest(sent.encode(), key.get_secret_value().encode()):
        raise NotAllowed(came=sent is not None)
