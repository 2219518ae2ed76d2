"""`foretell train` of a task that was added as files (`tests/new_tasks`)."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from service.cli import main
from service.models.artifacts.artifact import read_artifact
from tests.new_tasks import new_recipes, new_tasks


def test_a_new_task_is_trained_reported_and_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures of 32x32 in three classes need a task, a reader and a recipe, and nothing else."""
    models, reports = tmp_path / "models", tmp_path / "reports"
    with new_tasks(), new_recipes():
        to = ["--output", str(models), "--reports", str(reports)]
        assert main(["train", "signs", "--smoke", "--epochs", "5", *to]) == 0
        assert "Traffic signs: dense" in capsys.readouterr().out
        card = read_artifact(models, "signs").card
        assert card.contract.input.shape == (None, 32, 32)
        assert card.contract.labels == ("square", "triangle", "disc")
        assert card.metrics["accuracy"] > 0.6
        assert len(card.curves.confusion) == 3
        assert card.confidence is not None
        assert card.confidence.ood is not None
        assert (reports / "signs" / "1" / "index.html").exists()

        picture = tmp_path / "disc.png"
        cv2.imwrite(str(picture), cv2.circle(np.full((32, 32), 20, np.uint8), (16, 16), 9, 200, -1))
        assert main(["predict", "signs", str(picture), "--models-dir", str(models)]) == 0
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert answer["shape"] in card.contract.labels
        assert len(answer["probabilities"]) == 3
        assert answer["prediction_set"]
