"""README and docs tell the truth: their console blocks are run, and print what they say."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.server.test_serving import Service, serving

ROOT = Path(__file__).resolve().parents[2]
# Other processors sum in another order: see the tolerance in training/export/export.py.
TOLERANCE = 1e-4


PAGES = ("README.md", "docs/use/batch.md")


def console_blocks() -> list[tuple[str, str]]:
    """(command, what it prints) of every ```console block."""
    text = "".join((ROOT / page).read_text() for page in PAGES)
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


def close(wanted: Any, got: Any) -> bool:
    """Equal, numbers within the tolerance."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(close(wanted[k], got[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(close, wanted, got))
    if isinstance(wanted, float) or isinstance(got, float):
        return bool(got == pytest.approx(wanted, abs=TOLERANCE))
    return bool(wanted == got)


def as_json(text: str) -> Any:
    """JSON, where it is, else lines of JSON or cells; request ids are new each time."""
    text = re.sub(r'"request_id": ?"[0-9a-f]{32}"', '"request_id": "…"', text)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [as_line(line) for line in text.splitlines()]


def as_line(line: str) -> Any:
    """JSON, or else its cells, those with a point in them as numbers."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return [float(c) if re.fullmatch(r"\d+\.\d+", c) else c for c in line.split(",")]


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
    assert close(as_json(printed), as_json(ended.stdout.strip())), ended.stdout + ended.stderr
