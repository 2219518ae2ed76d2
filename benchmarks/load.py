"""Load by wrk: so many connections, each sending its next request once the last was answered."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, ValidationError

SCRIPT = Path(__file__).with_name("post.lua")
HOW_TO_INSTALL = (
    "wrk, which makes the load, is not installed: `apt install wrk` on Debian and Ubuntu, "
    "`brew install wrk` on macOS, else https://github.com/wg/wrk"
)


class LoadFailed(Exception):
    """Requests failed, or wrk did: a rate of errors is no result."""


class Load(BaseModel):
    """What one run of wrk measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int
    """Answered, in any way."""
    failed: int
    """Answered with 400 or above, or not at all."""
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def read_load(output: str) -> Load:
    """What wrk printed, the script's line last. Raises ValueError if that is not there."""
    lines = output.strip().splitlines()
    try:
        return Load.model_validate_json(lines[-1] if lines else "")
    except ValidationError as error:
        raise ValueError(f"expected a line of JSON from wrk at the end, got {output!r}") from error


def require_wrk() -> str:
    """Where wrk is. Raises SystemExit, with how to install it, if it is nowhere."""
    if wrk := shutil.which("wrk"):
        return wrk
    raise SystemExit(HOW_TO_INSTALL)


def drive(
    url: str,
    body: bytes,
    content_type: str,
    *,
    connections: int = 16,
    seconds: int = 3,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Load:
    """Post `body`, with more `headers`, for so many whole seconds; one thread makes the load.

    Raises LoadFailed if any request fails, SystemExit if wrk is missing.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        shape = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command = [require_wrk(), *shape, "--timeout", "20s", "--script", str(SCRIPT), url]
        run = subprocess.run(
            [*command, "--", content_type, file.name, *chain(*headers.items())],
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
    if run.returncode:
        raise LoadFailed(f"wrk failed: {run.stderr.strip() or run.stdout.strip()}")
    load = read_load(run.stdout)
    if load.failed or not load.requests:
        raise LoadFailed(f"{url}: {load.failed} requests failed, {load.requests} were answered")
    return load
