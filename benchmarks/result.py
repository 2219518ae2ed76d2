"""What a benchmark leaves behind: results/NAME.json, which report.py turns into results.md."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks.machine import machine

RESULTS = Path(__file__).with_name("results")


class Table(BaseModel):
    """Cells as they are to be read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head: list[str]
    rows: list[list[str]]
    title: str = ""


class Result(BaseModel):
    """One section of results.md, with all it was drawn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    command: str
    """What measures it anew."""
    notes: list[str]
    """How it was measured and how to read it: a paragraph each."""
    tables: list[Table]
    machine: dict[str, str]
    printed: str = ""
    """What a benchmark that only prints has printed."""
    raw: Any = None
    """Every single measurement, for whoever wants to compute something else."""


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
    """Write results/NAME.json, with this machine and this moment."""
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
    """Every result there is, by name. Raises pydantic.ValidationError for a file that is none."""
    return {
        file.stem: Result.model_validate_json(file.read_bytes())
        for file in sorted(folder.glob("*.json"))
    }
