"""The formats of a bulk job: of its body, by Content-Type, and of its answer, by Accept."""

from collections.abc import Sequence

from fastapi import Request

from service.api.http.requests import (
    IDENTITY,
    accepted_ranges,
    content_coding,
    header,
    media_type,
)
from service.bulk.tables.formats import BY_MEDIA, Format
from service.errors import NotAcceptable, UnsupportedMediaType


def given_format(request: Request) -> Format:
    """Return the format of the body. Raises UnsupportedMediaType."""
    declared, coding = header(request.scope, b"content-type"), content_coding(request.scope)
    form = BY_MEDIA.get(media_type(request.scope))
    if form is None or coding != IDENTITY:
        got = declared if coding == IDENTITY else f"{declared}, Content-Encoding {coding}"
        raise UnsupportedMediaType(got, list(BY_MEDIA))
    return form


def wanted_format(accept: str | None, given: Format) -> Format:
    """Return the format of the answer: the body's where Accept allows it. Raises NotAcceptable."""
    ranges = accepted_ranges(accept or "*/*")
    # The first of the best: max keeps the order.
    best = max((given, *BY_MEDIA.values()), key=lambda form: _rank(form.media, ranges))
    if not _rank(best.media, ranges)[0]:
        raise NotAcceptable(accept or "", list(BY_MEDIA))
    return best


def _rank(media: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Return the rank of a format: its weight, then its place, the first named being the best.

    Of several ranges that it is in, the most specific one counts.
    """
    names = [name for name, _ in ranges]
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if name in names:
            place = names.index(name)
            return ranges[place][1], -place
    return 0.0, 0
