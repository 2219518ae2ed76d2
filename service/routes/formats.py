"""Which format a portfolio comes in, and which one its caller takes."""

from collections.abc import Sequence

from fastapi import Request

from service.errors import NotAcceptable, UnsupportedMediaType
from service.portfolio.formats import BY_MEDIA, Format


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
    ranges = sorted(_ranges(accept or "*/*"), key=lambda weighed: -weighed[1])
    for media, weight in ranges:
        if not weight:
            continue
        for form in (given, *BY_MEDIA.values()):
            kind = form.media.partition("/")[0]
            if media in ("*/*", f"{kind}/*", form.media):
                return form
    raise NotAcceptable(accept or "", list(BY_MEDIA))


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
        ranges.append((media, weight))
    return ranges
