"""The format that a table comes in, and the one that its caller takes."""

from collections.abc import Sequence

from fastapi import Request

from service.bulk.tables.formats import BY_MEDIA, Format
from service.errors import NotAcceptable, UnsupportedMediaType


def given_format(request: Request) -> Format:
    """The format of the body. Raises UnsupportedMediaType."""
    declared = request.headers.get("content-type")
    media = (declared or "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").lower()
    form = BY_MEDIA.get(media)
    if form is None or encoding != "identity":
        got = declared if encoding == "identity" else f"{declared}, Content-Encoding {encoding}"
        raise UnsupportedMediaType(got, list(BY_MEDIA))
    return form


def wanted_format(accept: str | None, given: Format) -> Format:
    """The format of the answer: that of the body wherever it will do. Raises NotAcceptable."""
    ranges = _ranges(accept or "*/*")
    # The first of the best: max keeps the order.
    best = max((given, *BY_MEDIA.values()), key=lambda form: _liking(form.media, ranges))
    if not _liking(best.media, ranges)[0]:
        raise NotAcceptable(accept or "", list(BY_MEDIA))
    return best


def _liking(media: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """How much a format is wanted: by its weight, then by how early it is named.

    Of several ranges that it is in, the most specific one counts.
    """
    names = [name for name, _ in ranges]
    for name in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if name in names:
            place = names.index(name)
            return ranges[place][1], -place
    return 0.0, 0


def _ranges(accept: str) -> Sequence[tuple[str, float]]:
    ranges = []
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if not 0 <= weight <= 1:  # NaN, too
            weight = 0.0
        ranges.append((media, weight))
    return ranges
