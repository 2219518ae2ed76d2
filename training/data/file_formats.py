"""Parsers of the two file formats of the data, csv and idx: bytes to arrays by name."""

import csv
import gzip
import math
import re
import zlib
from collections.abc import Mapping
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from training.data.downloads import Parts


def parse_table(raw: bytes, columns: tuple[str, ...], aliases: Mapping[str, str]) -> Parts:
    """Parse the wanted columns of a csv as float64, in the order of `columns`.

    Blank and `?` become NaN. Without a header the file has exactly `columns`. With one, names are
    compared without case and punctuation, `aliases` translates them, and other columns (a row ID)
    are left out; it may have two lines, as in UCI's spreadsheet. Raises ValueError or csv.Error.
    """
    known = {name: name for name in columns} | dict(aliases)

    def translate(line: list[str]) -> list[str | None]:
        return [known.get(re.sub("[^a-z0-9]+", "_", cell.lower()).strip("_")) for cell in line]

    lines = [line for line in csv.reader(raw.decode("utf-8-sig").splitlines()) if line]
    headers = list(takewhile(lambda line: any(translate(line)), lines))
    header = translate(headers[-1]) if headers else list(columns)
    if missing := [name for name in columns if name not in header]:
        raise ValueError(f"no column {', '.join(missing)} among {', '.join(headers[-1])}")
    for number, line in enumerate(lines[len(headers) :], start=len(headers) + 1):
        if len(line) != len(header):
            raise ValueError(f"line {number} has {len(line)} cells, expected {len(header)}")
    cells = list(zip(*lines[len(headers) :], strict=True)) or [()] * len(header)
    return {name: _numbers(name, cells[header.index(name)]) for name in columns}


def _numbers(name: str, cells: tuple[str, ...]) -> NDArray[np.float64]:
    try:
        return np.array([cell if cell.strip() not in {"", "?"} else "nan" for cell in cells], float)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def parse_idx(raw: bytes, name: str) -> Parts:
    """Parse the one array of an idx file of bytes, gzipped or not, as uint8. Raises ValueError.

    The format: 0, 0, 8 (unsigned bytes), the number of dimensions; each dimension as a big-endian
    32-bit number; the values in C order.
    """
    try:
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"broken gzip: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"idx files of bytes begin with 00 00 08, not {raw[:3].hex(' ')}")
    start = 4 + 4 * raw[3]
    shape = [int.from_bytes(raw[at : at + 4]) for at in range(4, start, 4)]
    if len(raw) - start != math.prod(shape):
        raise ValueError(f"header says {math.prod(shape)} bytes, {len(raw) - start} are there")
    return {name: np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()}
