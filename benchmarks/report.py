"""Make benchmarks/results.md from results/*.json and the gains*.md beside it.

python -m benchmarks.report
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.result import RESULTS, Result, read_results
from training.markdown import markdown

FIRST = ("single_row", "bulk", "canvas", "picture_uploads", "gpu")
"""The order of the first sections; others come after them, by name."""

INTRODUCTION = """# Speed, measured

Made by `make bench`; [README.md](README.md) says how, and how each server is configured.
Foretell runs with `FORETELL_LOG_LEVEL=error`, except in "Replacing a model"; by default (`info`) it
also logs each request and is slower. Figures hold for the machine and the hour under each table.
Ratios move with the machine too: on 21 November 2026 one row was 3.2 times plain FastAPI and 5.1
times KServe on an AMD EPYC with 2 cores, 2.2 and 3.4 times on a slower machine.
"""


def section(name: str, result: Result, picture: bool) -> str:
    """Return one result as Markdown."""
    facts = ", ".join(f"{key} {value}" for key, value in result.machine.items())
    parts = [f"## {result.title}", *result.notes]
    if picture:
        parts.append(f"![{result.title}](results/{name}.png)")
    for table in result.tables:
        parts += [f"**{table.title}**"] if table.title else []
        parts.append(markdown(table.head, table.rows))
    if result.printed:
        parts.append(f"```text\n{result.printed.strip()}\n```")
    raw = f"[results/{name}.json](results/{name}.json)"
    parts.append(f"`{result.command}`: {facts}; raw figures in {raw}.")
    return "\n\n".join(parts) + "\n"


def report(results: Mapping[str, Result], pictures: Iterable[str], gains: Iterable[str]) -> str:
    """Return the whole page as Markdown."""
    drawn = set(pictures)
    names = [name for name in FIRST if name in results]
    names += [name for name in results if name not in FIRST]
    sections = [section(name, results[name], name in drawn) for name in names]
    return "\n".join([INTRODUCTION, *sections, *gains])


def main() -> None:
    """Draw the chart and write the page."""
    here = Path(__file__).parent
    results = read_results()
    if "single_row" in results:
        draw(results["single_row"], RESULTS / "single_row.png")
    pictures = [picture.stem for picture in RESULTS.glob("*.png")]
    gains = [file.read_text() for file in sorted(here.glob("gains*.md"))]
    (here / "results.md").write_text(report(results, pictures, gains))
    print(f"{here / 'results.md'} holds {', '.join(results)} and {len(gains)} files of gains")


if __name__ == "__main__":
    main()
