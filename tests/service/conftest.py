from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.powers import without_powers
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small real model for each task."""
    folder = tmp_path_factory.mktemp("models")
    for task in TASKS.values():
        write_artifact(folder, task)
    return folder


@pytest.fixture(scope="session")
def client(models_dir: Path) -> Iterator[TestClient]:
    """A ready service over those models."""
    settings = Settings(models_dir=models_dir, device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


@pytest.fixture
def close() -> Iterator[Callable[[Path], None]]:
    """Closes folders, so that nobody can look into them until the test has ended."""
    closed: list[Path] = []

    def close_it(folder: Path) -> None:
        closed.append(folder)
        folder.chmod(0)

    with without_powers():
        yield close_it
    for folder in closed:
        folder.chmod(0o755)
