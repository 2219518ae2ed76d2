"""Fixtures for the tests of every package: the folders of the real data sets."""

import os
from pathlib import Path

import pytest

from tests.requirements import cannot_run

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LOCAL = Path(os.environ.get("FORETELL_DATA_DIR") or SHARED)


@pytest.fixture(scope="session")
def copies() -> Path:
    """Return the folder with copies of all data sets, some of which cannot be downloaded."""
    if not LOCAL.is_dir():
        cannot_run(f"no local copies of the data: {LOCAL} is no folder; set FORETELL_DATA_DIR")
    return LOCAL


@pytest.fixture(scope="session")
def data_dir() -> Path | None:
    """Return the `data_dir` of loaders: the local copies, or None if downloads are possible."""
    if LOCAL.is_dir():
        return LOCAL
    from training.data.datasets import DataMissing
    from training.recipes import TASK_TRAININGS

    try:
        for training in TASK_TRAININGS.values():
            training.load(None)
    except DataMissing as error:
        cannot_run(f"no local copies of the data and no network: {error}")
    return None
