"""The playground at `/`: one page and its files, sent as they lie in `service/api/playground`."""

from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).resolve().parents[1] / "playground"
MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    # A browser asks each time, and is told by 304 that nothing has changed.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class File:
    """One file, as it is answered."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.etag = f'"{sha256(self.content).hexdigest()[:32]}"'
        self.media = MEDIA[path.suffix]

    def answer(self, request: Request) -> Response:
        """Return the file, or 304 to a caller that has it already."""
        headers = HEADERS | {"ETag": self.etag}
        # Weak tags too (RFC 9110, 13.1.2): a proxy that packs answers makes them so.
        known = request.headers.get("if-none-match", "").replace("W/", "").split(",")
        if self.etag in [tag.strip() for tag in known]:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media)


def playground_router() -> APIRouter:
    """Return the router of `/` and of the files under `/playground/`; an unknown name is 404."""
    # Read at start: nothing that a caller sends ever becomes a path on disk.
    files = {
        path.relative_to(FOLDER).as_posix(): File(path)
        for path in FOLDER.rglob("*")
        if path.suffix in MEDIA
    }
    page = files.pop("index.html")
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return page.answer(request)

    @router.api_route("/playground/{name:path}", methods=["GET", "HEAD"])
    async def file(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404)
        return files[name].answer(request)

    return router
