"""The admin key: who sent it, and what needs it."""

import hmac
from dataclasses import dataclass

from pydantic import SecretStr

from service.errors import NotAllowed


@dataclass(frozen=True)
class Caller:
    """The sender of one call, as its key tells."""

    admin: bool = False
    sent_key: bool = False

    def require_admin(self) -> None:
        """Raises NotAllowed unless the admin key came with the call."""
        if not self.admin:
            raise NotAllowed(came=self.sent_key)


ANONYMOUS = Caller()
UNKNOWN = Caller(sent_key=True)
ADMIN = Caller(admin=True, sent_key=True)


class Keys:
    """The keys that the service knows. Every protocol asks `caller_of` before it answers."""

    def __init__(self, admin: SecretStr | None) -> None:
        """Take the admin key of the settings; without one, every caller is anonymous."""
        self._admin = None if admin is None else admin.get_secret_value().encode()

    @property
    def required(self) -> bool:
        """True if any key is known, so that the Authorization of a call has to be read."""
        return self._admin is not None

    def caller_of(self, authorization: str | None) -> Caller:
        """Return the sender of a call with this Authorization, of the scheme Bearer (RFC 6750)."""
        scheme, _, sent = (authorization or "").partition(" ")
        if self._admin is None or scheme.lower() != "bearer" or not sent:
            return ANONYMOUS
        return ADMIN if hmac.compare_digest(sent.strip().encode(), self._admin) else UNKNOWN
