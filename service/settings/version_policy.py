"""The versions of a model that are served: FORETELL_VERSION_POLICY as a policy for each model.

latest              the newest valid version (the default)
latest:2            the newest two valid versions
1,3                 these versions
heart=1,3;latest:2  these versions of heart; the newest two of every other model
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

POLICY = re.compile(r"latest(?::([1-9][0-9]{0,3}))?|([1-9][0-9]*(?:,[1-9][0-9]*)*)")
EXPECTED = (
    "'latest', 'latest:N' or versions such as '1,3', for one model as 'heart=1,3', "
    "several with ';' between them"
)


@dataclass(frozen=True)
class VersionPolicy:
    """A policy that selects the versions of one model that are served."""

    latest: int = 1
    """The number of versions, newest first; invalid ones do not count."""
    named: tuple[str, ...] = ()
    """These versions and no others; empty: the newest ones."""

    def candidates(self, found: Sequence[str]) -> tuple[list[str], int]:
        """Return the versions to try, newest first, and how many of them to serve."""
        if not self.named:
            return list(reversed(found)), self.latest
        wanted = [version for version in reversed(found) if version in self.named]
        return wanted, len(wanted)

    def __str__(self) -> str:
        if self.named:
            return ",".join(self.named)
        return "latest" if self.latest == 1 else f"latest:{self.latest}"


@dataclass(frozen=True)
class VersionPolicies:
    """A policy for every model."""

    default: VersionPolicy = VersionPolicy()
    by_model: Mapping[str, VersionPolicy] = field(default_factory=dict)

    def of(self, name: str) -> VersionPolicy:
        """Return the policy for a model."""
        return self.by_model.get(name, self.default)


def parse_version_policies(text: str) -> VersionPolicies:
    """Parse the text of a setting. Raises ValueError, which says what is expected."""
    default: VersionPolicy | None = None
    by_model: dict[str, VersionPolicy] = {}
    for part in text.split(";"):
        name, equals, rule = (piece.strip() for piece in part.rpartition("="))
        match = POLICY.fullmatch(rule)
        if match is None or bool(equals) != bool(name):
            raise ValueError(EXPECTED)
        named = tuple(sorted(set(match[2].split(",")), key=int)) if match[2] else ()
        parsed = VersionPolicy(latest=int(match[1] or 1), named=named)
        if (name in by_model) if name else (default is not None):
            raise ValueError(f"{EXPECTED}, each once")
        if name:
            by_model[name] = parsed
        else:
            default = parsed
    return VersionPolicies(default or VersionPolicy(), by_model)
