"""A file that was published once and does not change: found or fetched, believed when verified.

What is verified is the content after parsing, not the bytes of the file. The same values under
other column names, in another csv dialect, re-compressed or not compressed at all are the same
data; one changed value is not, and the error says in which column or file it is.
"""

import csv
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray

from service.errors import ForetellError

DATA_DIR = "FORETELL_DATA_DIR"
RETRIES = 2  # of each mirror, after 1 and 2 seconds
TIMEOUT = (10, 60)  # seconds to connect, and between two bytes

Parts = dict[str, NDArray[Any]]
"""Content by name: the columns of a table, or the one array of an idx file."""

log = logging.getLogger(__name__)


class DataError(ForetellError):
    """A data set cannot be had as it was published."""


class DataMissing(DataError):
    """There is no copy where one was looked for, and none could be fetched."""


class DataDiffers(DataError):
    """There is a copy, and its content is not what was published."""


def digest(part: NDArray[Any]) -> str:
    """Sha256 hex of an array's values in C order, the same on every machine.

    Floats count as little-endian float64, with one NaN and without a negative zero.
    """
    if np.issubdtype(part.dtype, np.floating):
        part = np.where(np.isnan(part), np.nan, part + 0.0).astype("<f8")
    return hashlib.sha256(np.ascontiguousarray(part).data).hexdigest()


def fingerprint(parts: Mapping[str, NDArray[Any]]) -> str:
    """Sha256 hex over the name, shape and values of every part, in order."""
    lines = (f"{name} {part.shape} {digest(part)}\n" for name, part in parts.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def cache_folder() -> Path:
    """Where downloads are kept, by the custom of the operating system."""
    return Path(pooch.os_cache("foretell"))


@dataclass(frozen=True, eq=False)
class VerifiedDownload:
    """One file, the places it may be in, and what it must hold."""

    folder: str
    """Of the data set, inside a data directory and inside the cache."""
    names: tuple[str, ...]
    """What it may be called there (glob patterns), the first found is taken."""
    mirrors: tuple[str, ...]
    """Addresses of the file itself, tried in order."""
    home: str
    """The page of the data set, for people."""
    shape: tuple[int, ...]
    """Of every part."""
    prints: Mapping[str, str]
    """By part, the first 16 hex digits of its `digest`."""
    parse: Callable[[bytes], Parts]
    """The file's bytes to its parts; raises ValueError or csv.Error for what is no such file."""

    def read(self, data_dir: Path | None = None) -> Parts:
        """The parts, verified; from `data_dir` or $FORETELL_DATA_DIR alone where one is given.

        Raises DataMissing and DataDiffers.
        """
        chosen = data_dir or os.environ.get(DATA_DIR)
        if not chosen:
            return self._cached()
        folder = Path(chosen).expanduser() / self.folder
        if not (found := self._find(folder)):
            raise DataMissing(
                f"{folder} has no {' and no '.join(self.names)}: put a copy from {self.home} "
                f"there, or name no data directory ({DATA_DIR}, --data-dir) to download it"
            )
        return self.verified(found[0])

    def verified(self, path: Path, origin: object = None) -> Parts:
        """The parts of one file. Raises DataDiffers, naming `origin` or else the file."""
        try:
            parts = self.parse(path.read_bytes())
            self._compare(parts)
        except (ValueError, csv.Error) as error:
            raise DataDiffers(f"{origin or path}: not the published content: {error}") from error
        return parts

    def _compare(self, parts: Parts) -> None:
        for name, part in parts.items():
            if part.shape != self.shape:
                raise ValueError(f"{name} has shape {part.shape}, expected {self.shape}")
        differing = [n for n, expected in self.prints.items() if digest(parts[n])[:16] != expected]
        if differing:
            raise ValueError(f"other values in {', '.join(differing)}")

    def _find(self, folder: Path) -> list[Path]:
        found = (path for name in self.names for path in sorted(folder.glob(name)))
        return [path for path in found if path.is_file()]

    def _cached(self) -> Parts:
        folder = cache_folder() / self.folder
        troubles: list[Exception] = []
        for path in self._find(folder):
            try:
                return self.verified(path)
            except DataDiffers as error:
                log.warning("%s; removed from the cache", error)
                troubles.append(error)
                path.unlink(missing_ok=True)
        for url in self.mirrors:
            try:
                return self.verified(self._download(url, folder))
            except DataDiffers as error:
                troubles.append(error)
            except OSError as error:  # which every exception of requests is
                troubles.append(OSError(f"{url}: {error}"))
        kind = DataDiffers if any(isinstance(t, DataDiffers) for t in troubles) else DataMissing
        raise kind(
            f"could not get {self.folder}/{self.names[0]}:\n"
            + "".join(f"  {trouble}\n" for trouble in troubles)
            + f"Its home is {self.home}. Put a copy into {folder}, or into the folder "
            f"{self.folder} of a directory that you name with --data-dir or {DATA_DIR}."
        )

    def _download(self, url: str, folder: Path) -> Path:
        name = url.rsplit("/", 1)[-1]
        fetch = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT, chunk_size=2**16)

        def fetch_and_verify(url: str, output_file: str, pup: object) -> None:
            # Pooch moves its temporary file into the cache when this returns, and only then.
            # It retries on errors of the network; DataDiffers goes through, to the next mirror.
            fetch(url, output_file, pup)
            self.verified(Path(output_file), origin=url)

        store = pooch.create(
            path=folder,
            base_url="",
            registry={name: None},
            urls={name: url},
            retry_if_failed=RETRIES,
        )
        return Path(store.fetch(name, downloader=fetch_and_verify))
