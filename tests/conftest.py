"""What tests of every package share: where the real data are."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Local copies of the real data sets; without them a test is skipped, but in CI it fails."""
    found = Path(os.environ.get("FORETELL_DATA_DIR") or SHARED)
    if not found.is_dir():
        reason = f"no real data: {found} is not a directory; set FORETELL_DATA_DIR to one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
