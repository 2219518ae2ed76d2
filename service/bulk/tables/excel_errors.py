"""Cells of an .xlsx sheet that hold an error, such as #DIV/0!: calamine gives them as empty ones.

An empty cell is a value that was not recorded; an error is a value that somebody meant to be there.
In .xls and .ods files errors are not found: there they stay empty.
"""

import re
import zipfile
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree import ElementTree

BLOCK = 2**20
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
MARK = re.compile(rb"""\bt=["']e["']""")
CELL = re.compile(rb"<(?:\w+:)?c\s([^>]*)>(.{0,2000}?)</(?:\w+:)?c>", re.DOTALL)
PLACE = re.compile(rb"""\br=["']([A-Z]{1,3})(\d{1,7})["']""")
VALUE = re.compile(rb"<(?:\w+:)?v>(#[^<]{1,20})</")

Place = tuple[int, int]
"""The row and the column of a cell, from 0."""


def error_cells(source: BinaryIO, sheet: str) -> dict[Place, str]:
    """Return the errors of a sheet by their cells; none for a file that is no .xlsx.

    `source` can seek, and is left where it was. The size of what it holds was checked.
    """
    at = source.tell()
    try:
        with zipfile.ZipFile(source) as archive:
            part = _part(archive, sheet)
            return dict(_errors(archive, part)) if part else {}
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, ValueError):
        return {}  # another kind of workbook; calamine says what it makes of it
    finally:
        source.seek(at)


def _part(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the name of the file that holds a sheet."""
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    wanted = next(
        (one.get(RELATED) for one in book.iter(f"{MAIN}sheet") if one.get("name") == sheet), None
    )
    for one in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels")):
        if wanted is not None and one.get("Id") == wanted:
            target = one.get("Target", "")
            return target[1:] if target.startswith("/") else f"xl/{target}"
    return None


def _errors(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[Place, str]]:
    with archive.open(part) as file:
        rest = b""
        while block := file.read(BLOCK):
            block = rest + block
            end = block.rfind(b"</row") + 1 or len(block)
            yield from _in_block(block[:end])
            rest = block[end:][-BLOCK:]
        yield from _in_block(rest)


def _in_block(block: bytes) -> Iterator[tuple[Place, str]]:
    if not MARK.search(block):
        return
    for found in CELL.finditer(block):
        attributes, content = found.groups()
        place, value = PLACE.search(attributes), VALUE.search(content)
        if MARK.search(attributes) and place:
            column = 0
            for letter in place[1]:
                column = 26 * column + letter - 64
            yield (int(place[2]) - 1, column - 1), value[1].decode() if value else "#ERROR"
