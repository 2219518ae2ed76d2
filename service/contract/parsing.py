"""Checks of a typed call's JSON that pydantic does not make: its size, keys that come twice."""

import json
from collections import Counter
from collections.abc import Sequence

from service.contract.fields import Payload
from service.errors import FieldProblem, InvalidPayload, PayloadTooLarge

MAX_BYTES = 2**16
"""Bytes of a call's JSON. The longest, 16 rows to explain, has a sixth of it; in millions of bytes
there would be hundreds of thousands of unknown fields to be told about, on the event loop."""


def check_length(count: int) -> None:
    """Raises PayloadTooLarge for so many bytes of a call in JSON, whole or not."""
    if count > MAX_BYTES:
        raise PayloadTooLarge(MAX_BYTES, "a call in JSON")


def check_size(body: bytes) -> bytes:
    """Return the body unless it is too long. Raises PayloadTooLarge."""
    check_length(len(body))
    return body


def reject_duplicate_keys(body: bytes, *payloads: Payload) -> None:
    """Raises InvalidPayload if a field came twice, of which a parser keeps the last one only.

    `payloads` are what the body held. Their fields are numbers, so that each colon in the body
    follows a name.
    """
    if body.count(b":") != sum(len(payload.model_fields_set) for payload in payloads):
        raise InvalidPayload(_repeated(body))


def _repeated(body: bytes) -> list[FieldProblem]:
    problems: list[FieldProblem] = []

    def look(pairs: Sequence[tuple[str, object]]) -> None:
        counts = Counter(name for name, _ in pairs)
        problems.extend(
            FieldProblem(name, "one value", f"{count} values")
            for name, count in counts.items()
            if count > 1
        )

    json.loads(body, object_pairs_hook=look)
    return problems
