"""The committed models behind HTTP, as `make serve` starts them."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.contract.tabular import TabularTask
from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.waiting import wait_until

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(models_dir=MODELS, device="cpu"))) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


@pytest.mark.parametrize("name", [t.name for t in TASKS.values() if isinstance(t, TabularTask)])
def test_http_gives_the_golden_answers(client: TestClient, name: str) -> None:
    """Golden rows as JSON, through validation and back: what Keras answered, to 1e-5.

    Rows are posted as a caller would write them; one that leaves out what the contract requires
    (none does) would be refused.
    """
    rows, answers = read_artifact(MODELS, name).golden()
    fields = [feature.name for feature in TASKS[name].contract.features]
    for row, wanted in zip(rows, answers["probability"], strict=True):
        values = [None if np.isnan(value) else float(value) for value in row]
        answer = client.post(f"/v1/{name}/predict", json=dict(zip(fields, values, strict=True)))
        assert answer.status_code == 200, answer.text
        assert answer.json()["probability"] == pytest.approx(float(wanted), abs=1e-5)


def uploaded(client: TestClient, pictures: list[Path]) -> list[int]:
    """The digit answered for each picture, by uploads of 50; -1 where there is none."""
    digits: list[int] = []
    for start in range(0, len(pictures), 50):
        files: list[tuple[str, Any]] = [
            ("file", (path.name, path.read_bytes())) for path in pictures[start : start + 50]
        ]
        answers = client.post("/v1/digits/predict", files=files).json()
        digits += [answer.get("digit", -1) for answer in answers]
    return digits


def test_drawings_by_people_are_read(client: TestClient, copies: Path) -> None:
    """289 digits that 30 people drew or photographed: at least 98 % right.

    benchmarks/pictures.py has the figures; this is a floor that a broken step falls through.
    """
    with (copies / "drawn" / "manifest.csv").open(newline="") as file:
        labels = {row["file"]: int(row["label"]) for row in csv.DictReader(file)}
    pictures = [copies / "drawn" / name for name in labels]
    right = np.equal(uploaded(client, pictures), list(labels.values()))
    assert len(right) == 289
    assert right.mean() >= 0.98


def test_black_pen_digits_are_read(client: TestClient, copies: Path) -> None:
    """500 small pictures of black pen on white: at least 99.5 % right."""
    pictures = sorted((copies / "hwd-1000").glob("*.png"))
    right = np.equal(uploaded(client, pictures), [int(path.name[0]) for path in pictures])
    assert len(right) == 500
    assert right.mean() >= 0.995
