"""Uploaded pictures: the body itself, the files of a form, the entries of zip files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from service.errors import ArchiveTooLarge, FieldProblem, InvalidPayload, UnreadableArchive
from service.images.uploads.multipart import Part, parts_of
from service.images.uploads.zip_files import ZIP_TYPES, content_of, in_memory, is_zip, pictures_in

PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif")
FORM_TYPE = "multipart/form-data"
MOST_ZIPS = 8  # in one form: the table of contents of each takes time to read
UPLOADED = (FORM_TYPE, *PICTURE_TYPES, *ZIP_TYPES)


@dataclass(frozen=True)
class Limits:
    """The limits of one upload: its pictures, and the unpacked bytes of its zip files."""

    pictures: int
    unpacked: int


@dataclass(frozen=True)
class Picture:
    """An encoded picture, and the name it came under."""

    file: str
    encoded: Callable[[], bytes]
    """Called when its turn comes. Raises UnreadableImage where it cannot be unpacked."""
    unpacked: int = 0
    """Bytes that it will have, of one in a zip file."""


@dataclass(frozen=True)
class Upload:
    """Pictures in their order; `many` unless a picture was sent by itself."""

    many: bool
    pictures: list[Picture]


def unpacked(body: bytes, content_type: str, limits: Limits) -> Upload:
    """Return the pictures in a body of one of the types UPLOADED.

    Raises UnreadableForm, UnreadableArchive, ArchiveTooLarge, or InvalidPayload for a form or zip
    file without pictures.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media in PICTURE_TYPES:
        return Upload(False, [Picture("body", lambda: body)])
    if media in ZIP_TYPES:
        return Upload(True, _within(limits, _zipped(body, "body", "")))
    parts = _files(parts_of(body, content_type, limits.pictures))
    zips = sum(is_zip(part.content) for part in parts)
    if zips > MOST_ZIPS:
        raise UnreadableArchive(f"{zips} zip files were sent, the limit is {MOST_ZIPS}")
    pictures = []
    for part in parts:
        file = part.file or ""
        if is_zip(part.content):
            pictures += _within(limits, _zipped(part.content, file, f"{file}/"))
        else:
            pictures.append(Picture(file, partial(bytes, part.content)))
    return Upload(len(parts) > 1 or zips > 0, _within(limits, pictures))


def _files(parts: list[Part]) -> list[Part]:
    problems = [
        FieldProblem(name, "no field of this name (pictures go into 'file')", "a form field")
        for name in dict.fromkeys(part.name for part in parts)
        if name != "file"
    ]
    files = [part for part in parts if part.name == "file"]
    problems += [
        FieldProblem("file", "a file with a file name", "a text field")
        for part in files
        if part.file is None
    ]
    if not files:
        problems.append(FieldProblem("file", "one or more pictures", "nothing"))
    if problems:
        raise InvalidPayload(problems)
    return files


def _zipped(content: bytes, file: str, prefix: str) -> list[Picture]:
    archive = in_memory(content)
    entries = pictures_in(archive)
    if not entries:
        raise InvalidPayload([FieldProblem(file, "one or more pictures in the zip file", "none")])
    return [
        Picture(prefix + entry.filename, partial(content_of, archive, entry), entry.file_size)
        for entry in entries
    ]


def _within(limits: Limits, pictures: list[Picture]) -> list[Picture]:
    if len(pictures) > limits.pictures:
        raise UnreadableArchive(
            f"{len(pictures):,} pictures were sent, the limit is {limits.pictures:,}"
        )
    size = sum(picture.unpacked for picture in pictures)
    if size > limits.unpacked:
        raise ArchiveTooLarge(size, limits.unpacked)
    return pictures
