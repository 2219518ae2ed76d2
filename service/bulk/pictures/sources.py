"""The pictures in a folder, in a zip file on disk, or one by itself: their names and bytes."""

import errno
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from service.errors import FieldProblem, InvalidPayload
from service.images.uploads.zip_files import content_of, is_zip, meant, opened, pictures_in

LARGEST_FILE = 2**30  # bytes; no picture, and not to be read to find that out
EXPECTED = "a folder, a zip file or a picture"


@dataclass(frozen=True)
class Source:
    """Where a picture is: a file, or the entry of this number among a zip file's pictures."""

    name: str
    path: Path
    entry: int | None = None


def found(input: Path, output: Path) -> list[Source]:  # noqa: A002
    """Return the pictures to read, without files that systems add (images/uploads/zip_files.py).

    Every other file counts: one that is no picture is told from one that was answered. Raises
    InvalidPayload where there is none, or nothing at `input`.
    """
    if input.is_dir():
        own = output.resolve()  # of an earlier run, say
        files = [file for file in sorted(input.rglob("*")) if file.is_file()]
        names = [file.relative_to(input).as_posix() for file in files]
        sources = [
            Source(printable(name), file)
            for name, file in zip(names, files, strict=True)
            if meant(name) and file.resolve() != own
        ]
    elif not input.is_file():
        raise InvalidPayload([FieldProblem("input", EXPECTED, f"nothing at {input}")])
    elif starts_as_zip(input):
        with opened(input) as archive:
            entries = pictures_in(archive)
        sources = [Source(printable(e.filename), input, at) for at, e in enumerate(entries)]
    else:
        sources = [Source(printable(input.name), input)]
    if not sources:
        raise InvalidPayload([FieldProblem("input", EXPECTED, f"no files in {input}")])
    return sources


def starts_as_zip(path: Path) -> bool:
    """Return True for a zip file, a damaged one included."""
    with path.open("rb") as file:
        return is_zip(file.read(4))


def printable(name: str) -> str:
    """Return a file's name as text that can be encoded: on Linux names are any bytes."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def content(source: Source) -> bytes:
    """Return the bytes of a picture. Raises OSError or UnreadableImage."""
    if source.entry is not None:
        archive, entries = _archive(source.path, source.path.stat().st_mtime_ns)
        return content_of(archive, entries[source.entry])
    if source.path.stat().st_size > LARGEST_FILE:
        raise OSError(errno.EFBIG, "larger than any picture")
    return source.path.read_bytes()


@lru_cache(maxsize=1)
def _archive(path: Path, changed: int) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    archive = opened(path)
    return archive, pictures_in(archive)
