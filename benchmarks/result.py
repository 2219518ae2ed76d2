"""The file that a benchmark writes: results/NAME.json, which report.py turns into results.md."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks.machine import machine

RESULTS = Path(__file__).with_name("results")


class Table(BaseModel):
    """A table of cells that are formatted already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head: list[str]
    rows: list[list[str]]
    title: str = ""


class Result(BaseModel):
    """A section of results.md, with all the measurements behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    command: str
    """The command that measures it anew."""
    notes: list[str]
    """Paragraphs that say how it was measured and how to read it."""
    tables: list[Table]
    machine: dict[str, str]
    printed: str = ""
    """The output of a benchmark that only prints."""
    raw: Any = None
    """Every single measurement, from which other figures can be computed."""


def write_result(
    name: str,
    *,
    title: str,
    command: str,
    notes: list[str],
    tables: list[Table],
    printed: str = "",
    raw: Any = None,
    folder: Path = RESULTS,
) -> Path:
    """Write results/NAME.json, with this machine and the time of writing."""
    result = Result(
        title=title,
        command=command,
        notes=notes,
        tables=tables,
        machine=machine(),
        printed=printed,
        raw=raw,
    )
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(result.model_dump_json(indent=1) + "\n")
    return file


def read_results(folder: Path = RESULTS) -> dict[str, Result]:
    """Read every result, by name. Raises pydantic.ValidationError for a file of another form."""
    return {
        file.stem: Result.model_validate_json(file.read_bytes())
        for file in sorted(folder.glob("*.json"))
    }
