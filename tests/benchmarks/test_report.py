from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.chart import draw
from benchmarks.report import report
from benchmarks.result import Table, read_results, write_result


def written(folder: Path, name: str, title: str) -> None:
    write_result(
        name,
        title=title,
        command=f"python -m benchmarks.{name}",
        notes=["How it was measured."],
        tables=[Table(title="Rates", head=["server", "rate"], rows=[["Foretell", "9"]])],
        raw={"medians": {"Foretell": {"rate": 9.0, "alone_p50_ms": 0.1}}},
        folder=folder,
    )


def test_the_page_has_every_result_its_machine_and_the_gains(tmp_path: Path) -> None:
    """Sections come in a fixed order, each with its table and the command that measures it."""
    written(tmp_path, "another", "Another")
    written(tmp_path, "single_row", "One row")
    page = report(read_results(tmp_path), ["single_row"], ["## Gains\n"])
    assert page.index("## One row") < page.index("## Another") < page.index("## Gains")
    assert "![One row](results/single_row.png)" in page
    assert "results/another.png" not in page
    assert "| Foretell |    9 |" in page
    assert "`python -m benchmarks.another`: date 2" in page


def test_printed_output_is_shown_unchanged(tmp_path: Path) -> None:
    """Text that a benchmark has aligned stays aligned on the page."""
    write_result(
        "epochs",
        title="Training",
        command="python benchmarks/epochs.py",
        notes=[],
        tables=[],
        printed="task   seconds\ndigits      40\n",
        folder=tmp_path,
    )
    page = report(read_results(tmp_path), [], [])
    assert "```text\ntask   seconds\ndigits      40\n```" in page


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    """A file that is not a result raises ValidationError instead of being left out of the page."""
    (tmp_path / "single_row.json").write_text('{"title": "One row"}')
    with pytest.raises(ValidationError, match="command"):
        read_results(tmp_path)


def test_the_chart_is_a_picture(tmp_path: Path) -> None:
    """The chart is a PNG of all servers that were measured."""
    written(tmp_path, "single_row", "One row")
    draw(read_results(tmp_path)["single_row"], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
