"""The amount of a table that is read: a part for everybody, and more with the bytes that came.

A few hundred bytes can say that they are two thousand million rows. Each row takes a model's time
and each cell memory, so both are counted, and before they are written out where that is known.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from service.errors import TableTooLarge

FREE_CELLS = 2**24
"""Cells for everybody: a million rows of heart's thirteen fields."""
CELLS_A_BYTE = 16
"""Columns of few values take an eighth of a byte a cell in Parquet, as they are made by people."""
FREE_BYTES = 2**28
BYTES_A_BYTE = 100
"""Tables of text are packed to a tenth; made-up ones, with the same rows over again, further."""
MOST_MEMORY = 192 * 2**20
MEMORY_A_BYTE = 8
LARGEST_MEMORY = 512 * 2**20
"""Bytes that a process which decodes a table may take, beside those that it begins with."""
ADVICE = "send it in parts, or not compressed"


@dataclass
class Allowance:
    """The cells and the unpacked bytes that one table may still have.

    `received` tells the bytes that came so far; None for a file of one's own, which has no bound.
    `row_cells` are the fields that a model reads of each row, whether or not the table has them.
    """

    received: Callable[[], int] | None = None
    row_cells: int = 0
    cells: int = 0
    unpacked: int = 0

    def take_rows(self, rows: int, cells: int) -> None:
        """Count rows with so many cells. Raises TableTooLarge."""
        self.cells += max(cells, rows * self.row_cells)
        self._check("rows times columns", self.cells, FREE_CELLS, CELLS_A_BYTE)

    def take_bytes(self, count: int) -> None:
        """Count bytes that were unpacked, or are about to be. Raises TableTooLarge."""
        self.unpacked += count
        self._check("bytes when unpacked", self.unpacked, FREE_BYTES, BYTES_A_BYTE)

    def counted(self, batches: Iterable[Any], *, unpacked: bool = False) -> Iterator[Any]:
        """Yield batches of Arrow, and count their rows; those that were `unpacked`, also bytes."""
        for batch in batches:
            self.take_rows(batch.num_rows, batch.num_rows * batch.num_columns)
            if unpacked:
                self.take_bytes(batch.nbytes)
            yield batch

    def _check(self, what: str, count: int, free: int, more: int) -> None:
        if self.received is None or count <= free:
            return
        most = free + more * self.received()
        if count > most:
            expected = f"at most {free:,}, and {more} more for each byte sent"
            raise TableTooLarge(what, expected, f"{count:,} or more", ADVICE)


def most_memory(size: int) -> int:
    """Return the bytes that a process may take for a table that came as so many."""
    return min(MOST_MEMORY + MEMORY_A_BYTE * size, LARGEST_MEMORY)


def out_of_memory() -> TableTooLarge:
    """Return the error for a table that is small as it came, and large in memory."""
    most = f"at most {MOST_MEMORY:,} bytes, and {MEMORY_A_BYTE} more for each byte sent"
    advice = "send it as CSV, or Parquet with shorter values"
    return TableTooLarge("memory to unpack some of its rows", most, "more", advice)
