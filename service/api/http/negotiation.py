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
from service.bulk.tables.formats import BY_MEDIA, OTHER_MEDIA, Format
from service.errors import NotAcceptable, UnsupportedMediaType


def given_format(request: Request) -> Format:
    """Return the format of the body. Raises UnsupportedMediaType."""
    declared, coding = header(request.scope, b"content-type"), content_coding(request.scope)
    media = media_type(request.scope)
    form = BY_MEDIA.get(media) or OTHER_MEDIA.get(media)
    if form is None or coding != IDENTITY:
        got = declared if coding == IDENTITY else f"{declared}, Content-Encoding {coding}"
        raise UnsupportedMediaType(got, list(BY_MEDIA))
    return form


def wanted_format(accept: str | None, given: Format) -> Format:
    """Return the format of the answer: that of the greatest weight, among equals the first named.

    A wildcard of that weight takes the body's own format: browsers and axios send
    `application/json, text/plain, */*` with any body. Raises NotAcceptable.
    """
    ranges = accepted_ranges(accept or "*/*")

    def rank(form: Format) -> tuple[float, bool, int]:
        weight, place, by_wildcard = _rank(form.media, ranges)
        return weight, form is given and by_wildcard, place

    best = max(BY_MEDIA.values(), key=rank)
    if not rank(best)[0]:
        raise NotAcceptable(accept or "", list(BY_MEDIA))
    return best


def _rank(media: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int, bool]:
    """Return a format's weight, its place (the first named is the greatest), and True by wildcard.

    Of several ranges that it is in, the most specific one counts.
    """
    names = [name for name, _ in ranges]
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if name in names:
            place = names.index(name)
            return ranges[place][1], -place, "*" in name
    return 0.0, 0, False
