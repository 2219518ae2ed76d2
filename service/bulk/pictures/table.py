"""The answers to many pictures as a table in a file, written as they come."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.contract.image import ImageTask
from service.errors import FieldProblem, InvalidPayload

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Row:
    """One picture: its name, then what was answered, or why nothing was."""

    file: str
    answer: int | str | None = None
    probability: float | None = None
    probabilities: tuple[float, ...] = ()
    in_distribution: bool | None = None
    """Whether it looks like what the model learned from; None where that is not known."""
    error: str | None = None


Write = Callable[[Sequence[Row]], None]


def columns(task: ImageTask) -> list[str]:
    """`file`, the answer, `probability`, that of each label (`p0`, `p_Bag`), and the last two."""
    labels = [f"p{label}" if label.isdigit() else f"p_{label}" for label in task.labels]
    return ["file", task.answer, "probability", *labels, "in_distribution", "error"]


def values(row: Row, task: ImageTask) -> list[Value]:
    """Return a row in the order of the columns."""
    probabilities = row.probabilities or (None,) * len(task.labels)
    return [row.file, row.answer, row.probability, *probabilities, row.in_distribution, row.error]


def check_suffix(path: Path) -> None:
    """Raises InvalidPayload unless a table can be written under this name."""
    if path.suffix.lower() not in WRITERS:
        expected = f"a name that ends in {', '.join(WRITERS)}"
        raise InvalidPayload([FieldProblem("output", expected, str(path))])


@contextmanager
def table(path: Path, suffix: str, task: ImageTask) -> Iterator[Write]:
    """Write rows into a new file, in the way of the suffix."""
    with WRITERS[suffix.lower()](path, task) as write:
        yield write


@contextmanager
def _csv(path: Path, task: ImageTask) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns(task))
        yield lambda rows: lines.writerows(map(_cell, values(row, task)) for row in rows)


def _cell(value: Value) -> Value:
    # As answers to tables write it, not as Python does.
    return str(value).lower() if isinstance(value, bool) else value


@contextmanager
def _ndjson(path: Path, task: ImageTask) -> Iterator[Write]:
    names = columns(task)
    with path.open("w", encoding="utf-8") as file:

        def write(rows: Sequence[Row]) -> None:
            for row in rows:
                filled = zip(names, values(row, task), strict=True)
                facts = {name: value for name, value in filled if value is not None}
                file.write(json.dumps(facts, ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, task: ImageTask) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    answer = pa.int64() if isinstance(task.to_label(0), int) else pa.string()
    kinds = [pa.string(), answer, *[pa.float32()] * (1 + len(task.labels)), pa.bool_(), pa.string()]
    schema = pa.schema(list(zip(columns(task), kinds, strict=True)))
    with pq.ParquetWriter(path, schema) as file:

        def write(rows: Sequence[Row]) -> None:
            by_column = zip(*(values(row, task) for row in rows), strict=True)
            file.write_table(pa.table([list(each) for each in by_column], schema=schema))

        yield write


WRITERS = {".csv": _csv, ".ndjson": _ndjson, ".parquet": _parquet}
