"""Zip files of pictures: which entries count, and their bytes, one at a time and never on disk."""

import struct
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
    except OSError:
        raise
    except Exception as damage:  # beside BadZipFile: struct's and codecs' errors, of bad names
        raise UnreadableArchive(f"not a zip file, or a damaged one: {damage}") from damage


def in_memory(content: bytes) -> zipfile.ZipFile:
    """Open a zip file in memory; refuse a table of contents that would take long to read."""
    end = content.rfind(b"PK\x05\x06")
    if end < 0 or len(content) < end + 22:
        raise UnreadableArchive("not a zip file, or one cut off before its end")
    (size,) = struct.unpack_from("<I", content, end + 12)
    if size > LONGEST_DIRECTORY:
        raise UnreadableArchive(
            f"the zip file's table of contents has {size:,} bytes,"
            f" the limit is {LONGEST_DIRECTORY:,}"
        )
    return opened(BytesIO(content))


def pictures_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the entries in their order, in any folder, without those that systems add.

    Left out are folders, and what macOS and Windows add: `__MACOSX/`, hidden files, Thumbs.db.
    """
    return [entry for entry in archive.infolist() if not entry.is_dir() and meant(entry.filename)]


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
