"""Zip files of pictures: which entries count, and their bytes, one at a time and never on disk."""

import zipfile
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from service.errors import UnreadableArchive, UnreadableImage

ZIP_TYPES = ("application/zip", "application/x-zip-compressed")
MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a zip file, and of one with nothing in it
LONGEST_DIRECTORY = 2**20
"""Bytes of a zip file's table of contents: some 10,000 entries, read before they can be counted."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of the others, zipfile unpacks all at once
ENCRYPTED = 0x1  # the general purpose bit; APPNOTE.TXT 4.4.4


def is_zip(content: bytes) -> bool:
    """Return True for the bytes of a zip file; no picture begins as one."""
    return content.startswith(MAGIC)


def opened(file: BinaryIO | Path) -> zipfile.ZipFile:
    """Read the table of contents. Raises UnreadableArchive."""
    try:
        return zipfile.ZipFile(file)
    except (OSError, UnreadableArchive):
        raise
    except Exception as damage:  # beside BadZipFile: struct's and codecs' errors, of bad names
        raise UnreadableArchive(f"not a zip file, or a damaged one: {damage}") from damage


class _Upload(BytesIO):
    """A zip file in memory.

    zipfile reads the table of contents in one piece. Its length is limited here, and not where the
    file states it: that may be in three places, and it is zipfile that knows which of them counts.
    """

    opening = True

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.opening and len(data) > LONGEST_DIRECTORY:
            raise UnreadableArchive(
                f"the zip file's table of contents has {len(data):,} bytes,"
                f" the limit is {LONGEST_DIRECTORY:,}"
            )
        return data


def in_memory(content: bytes) -> zipfile.ZipFile:
    """Open a zip file in memory; refuse a table of contents that would take long to read."""
    upload = _Upload(content)
    archive = opened(upload)
    upload.opening = False
    return archive


def pictures_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries in their order, in any folder, without those that systems add.

    Left out are folders, and what macOS and Windows add: `__MACOSX/`, hidden files, Thumbs.db.
    """
    return [
        entry
        for entry in archive.infolist()
        if not entry.filename.endswith("/") and meant(entry.filename)  # is_dir fails without a name
    ]


def meant(name: str) -> bool:
    """Return False for files that systems add to folders and zip files by themselves."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") and part != ".." for part in path.parts)
    return not (hidden or "__MACOSX" in path.parts or path.name in ("Thumbs.db", "desktop.ini"))


def content_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the bytes of an entry, at most those of its header. Raises UnreadableImage."""
    if entry.flag_bits & ENCRYPTED:
        raise UnreadableImage("the entry is encrypted")
    if entry.compress_type not in METHODS:
        raise UnreadableImage(
            f"the entry is packed by method {entry.compress_type}; expected stored or deflated"
        )
    try:
        # To ask for more than the header says would unpack whatever a false header hides.
        with archive.open(entry) as file:
            return file.read(entry.file_size + 1)
    except Exception as damage:  # BadZipFile, zlib.error, EOFError, struct.error and more
        raise UnreadableImage(f"the entry is damaged: {damage}") from damage
