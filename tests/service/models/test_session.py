"""Devices: what is asked for, what is in use."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import structlog
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.errors import DeviceUnavailable
from service.models.runtime import session
from service.models.runtime.session import CPU, CUDA, OnnxSession
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.waiting import wait_until

CUDA_WORKS = session.cuda_obstacle() is None
without_cuda = pytest.mark.skipif(CUDA_WORKS, reason="this machine has CUDA")


@without_cuda
def test_auto_without_cuda_is_the_cpu(tmp_path: Path) -> None:
    """The provider reported is the one in use."""
    folder = write_artifact(tmp_path, TASKS["heart"])
    assert OnnxSession(folder / "model.onnx", "auto").provider == CPU


@without_cuda
def test_cuda_without_cuda_is_not_ready_and_says_why(tmp_path: Path) -> None:
    """ONNX Runtime would go on with the CPU; the service is not ready instead, and stays alive."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    with TestClient(create_app(Settings(models_dir=tmp_path, device="cuda"))) as client:
        wait_until(lambda: "cuda was asked for" in client.get("/readyz").text)
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        assert client.post("/v1/heart/predict", json={"age": 60, "sex": 1}).status_code == 503


@pytest.mark.parametrize("rows", [10, 11, 20, 21])
def test_long_batches_in_slices_are_answered_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Every row has its own answer, wherever the slices end; the whole counts as one run."""
    loaded = OnnxSession(write_artifact(tmp_path, TASKS["heart"]) / "model.onnx", "cpu")
    batch = np.random.default_rng(0).uniform(0, 3, (rows, 13)).astype(np.float32)
    whole = loaded.run(batch)["probability"]
    assert len(np.unique(whole)) == rows
    monkeypatch.setattr(session, "MAX_CPU_ROWS", 10)
    sliced = loaded.run(batch)["probability"]
    assert sliced.shape == (rows,)
    np.testing.assert_allclose(sliced, whole, atol=1e-6)
    assert list(loaded.batches_run.values[:2]) == [2, 2 * rows]


def test_a_silent_fallback_to_the_cpu_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver without CUDA's libraries makes the runtime log only; we compare providers."""
    folder = write_artifact(tmp_path, TASKS["heart"])
    monkeypatch.setattr(session, "cuda_obstacle", lambda: None)
    real_session = ort.InferenceSession

    def only_cpu(model: Path, options: object, providers: list[object]) -> ort.InferenceSession:
        assert providers[0] == (CUDA, session.CUDA_OPTIONS)
        return real_session(model, options, providers=[CPU])

    monkeypatch.setattr(ort, "InferenceSession", only_cpu)
    with pytest.raises(DeviceUnavailable, match="runs on CPUExecutionProvider"):
        OnnxSession(folder / "model.onnx", "cuda")
    with structlog.testing.capture_logs() as events:
        assert OnnxSession(folder / "model.onnx", "auto").provider == CPU
    assert "CUDA libraries did not load" in events[0]["reason"]


@pytest.mark.skipif(not CUDA_WORKS, reason="needs an NVIDIA GPU with CUDA 13 libraries")
def test_cuda_gives_the_golden_answers(tmp_path: Path) -> None:
    """The same validation passes on a machine with a GPU."""
    folder = write_artifact(tmp_path, TASKS["digits"])
    assert OnnxSession(folder / "model.onnx", "cuda").provider == CUDA
