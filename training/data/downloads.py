"""Verified downloads: files that were published once and do not change, found or downloaded.

The content after parsing is verified, not the bytes of the file. The same values under other column
names, in another csv dialect, re-compressed or not compressed are the same data; one changed value
is not, and the error names its column or file.
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
RETRIES = 2
"""The retries of each mirror, after 1 and 2 seconds."""
TIMEOUT = (10, 60)
"""The seconds to connect, and between two bytes."""

Parts = dict[str, NDArray[Any]]
"""Arrays by name: the columns of a table, or the one array of an idx file."""

log = logging.getLogger(__name__)


class DataError(ForetellError):
    """A data set is not available as it was published."""


class DataMissing(DataError):
    """No copy was found where one was expected, and none could be downloaded."""


class DataDiffers(DataError):
    """A copy was found, and its content is not what was published."""


def digest(part: NDArray[Any]) -> str:
    """Return the sha256 hex of an array's values in C order, the same on every machine.

    Floats count as little-endian float64, with one NaN and without a negative zero.
    """
    if np.issubdtype(part.dtype, np.floating):
        part = np.where(np.isnan(part), np.nan, part + 0.0).astype("<f8")
    return hashlib.sha256(np.ascontiguousarray(part).data).hexdigest()


def fingerprint(parts: Mapping[str, NDArray[Any]]) -> str:
    """Return the sha256 hex over the name, shape and values of every array, in order."""
    lines = (f"{name} {part.shape} {digest(part)}\n" for name, part in parts.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder that keeps downloads, by the operating system's convention."""
    return Path(pooch.os_cache("foretell"))


@dataclass(frozen=True, eq=False)
class VerifiedDownload:
    """A file with the places it may be in and the content that it must have."""

    folder: str
    """The folder of the data set, inside a data directory and inside the cache."""
    names: tuple[str, ...]
    """The names it may have there (glob patterns); the first found is read."""
    mirrors: tuple[str, ...]
    """The addresses of the file itself, tried in order."""
    home: str
    """The web page of the data set."""
    shape: tuple[int, ...]
    """The shape of every array."""
    prints: Mapping[str, str]
    """The first 16 hex digits of the `digest` of each array, by name."""
    parse: Callable[[bytes], Parts]
    """Parses the file's bytes; raises ValueError or csv.Error for another kind of file."""

    def read(self, data_dir: Path | None = None) -> Parts:
        """Read and verify the arrays, from `data_dir` or $FORETELL_DATA_DIR only if one is given.

        Raises DataMissing and DataDiffers.
        """
        chosen = data_dir or os.environ.get(DATA_DIR)
        if not chosen:
            return self._cached()
        folder = Path(chosen).expanduser() / self.folder
        if not (copies := self._find(folder)):
            raise DataMissing(
                f"{folder} has no {' and no '.join(self.names)}: put a copy from {self.home} "
                f"there, or name no data directory ({DATA_DIR}, --data-dir) to download it"
            )
        return self.verify(copies[0])

    def verify(self, path: Path, origin: object = None) -> Parts:
        """Read and verify one file. Raises DataDiffers, which names `origin` or else the file."""
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
        paths = (path for name in self.names for path in sorted(folder.glob(name)))
        return [path for path in paths if path.is_file()]

    def _cached(self) -> Parts:
        folder = cache_folder() / self.folder
        troubles: list[Exception] = []
        for path in self._find(folder):
            try:
                return self.verify(path)
            except DataDiffers as error:
                log.warning("%s; removed from the cache", error)
                troubles.append(error)
                path.unlink(missing_ok=True)
        for url in self.mirrors:
            try:
                return self.verify(self._download(url, folder))
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
            # Pooch moves its temporary file into the cache only when this returns. It retries on
            # network errors; DataDiffers passes through, and the next mirror is tried.
            fetch(url, output_file, pup)
            self.verify(Path(output_file), origin=url)

        store = pooch.create(
            path=folder,
            base_url="",
            registry={name: None},
            urls={name: url},
            retry_if_failed=RETRIES,
        )
        return Path(store.fetch(name, downloader=fetch_and_verify))
