from typing import get_args

import pytest

from service.settings.settings import Settings


@pytest.fixture(scope="module", params=get_args(Settings.model_fields["http"].annotation))
def http(request: pytest.FixtureRequest) -> str:
    """Every value of FORETELL_HTTP, in turn."""
    return str(request.param)
