"""README and docs tell the truth: their console blocks are run, and print what they say."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.service.server.test_serving import Service, serving

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def console_blocks() -> list[tuple[str, str]]:
    """Return (command, what it prints) of every ```console block."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    pairs = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:'[^']*'|\\\n|[^'\n\\])*", part)
            assert command
            pairs.append((command[0], part[command.end() :].strip()))
    return pairs


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(ROOT / "models") as running:
        yield running


def same(printed: Any, got: Any) -> bool:
    """Compare two answers: names, their order, and numbers to the last digit that is printed."""
    if isinstance(printed, dict) and isinstance(got, dict):
        return list(printed) == list(got) and all(same(printed[k], got[k]) for k in printed)
    if isinstance(printed, list) and isinstance(got, list):
        return len(printed) == len(got) and all(map(same, printed, got))
    if isinstance(printed, Decimal) and isinstance(got, Decimal):
        return got.quantize(printed) == printed
    return type(printed) is type(got) and bool(printed == got)


def as_json(text: str) -> Any:
    """Return JSON, or else the lines as JSON or as cells; request ids are new each time."""
    text = re.sub(r'"request_id": ?"[0-9a-f]{32}"', '"request_id": "…"', text)
    try:
        return json.loads(text, parse_float=Decimal)
    except json.JSONDecodeError:
        return [as_line(line) for line in text.splitlines()]


def as_line(line: str) -> Any:
    """Return a line as JSON, or else its cells, those with a point in them as numbers."""
    try:
        return json.loads(line, parse_float=Decimal)
    except json.JSONDecodeError:
        return [Decimal(c) if re.fullmatch(r"\d+\.\d+", c) else c for c in line.split(",")]


def test_there_are_examples_of_each_kind() -> None:
    """A prediction for each task, and of what an error looks like."""
    commands = " ".join(command for command, _ in console_blocks())
    for path in ("/v1/heart/predict", "/v1/credit/predict", "/v1/digits/predict"):
        assert path in commands


@pytest.mark.parametrize(("command", "printed"), console_blocks(), ids=itertools.count())
def test_an_example_prints_what_the_readme_says(
    service: Service, command: str, printed: str
) -> None:
    """Run as it stands, but for the port."""
    ended = subprocess.run(
        ["bash", "-c", command.replace("http://127.0.0.1:8000", service.url)],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert same(as_json(printed), as_json(ended.stdout.strip())), ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("printed", "got", "equal"),
    [
        ('{"p": 0.9993}', '{"p": 0.99929786}', True),
        ('{"p": 0.9992}', '{"p": 0.99929786}', False),
        ("[7.1e-05]", "[0.00007147]", True),
        ("[9.4e-05]", "[0.00007147]", False),
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', False),
        ("[1]", "[true]", False),
        ("0007,0.7757,true", "0007,0.77565986,true", True),
        ("0007,0.7756,true", "0007,0.77565986,true", False),
    ],
)
def test_a_figure_is_compared_to_its_last_digit(printed: str, got: str, equal: bool) -> None:
    """An answer of another model does not pass because it is small."""
    assert same(as_json(printed), as_json(got)) is equal
