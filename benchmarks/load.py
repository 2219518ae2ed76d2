"""Load by wrk: connections that each send the next request once the last was answered."""

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
    "wrk, which makes the load, is not installed. Install it by `apt install wrk` on Debian and "
    "Ubuntu or `brew install wrk` on macOS; for other systems see https://github.com/wg/wrk"
)


class LoadFailed(Exception):
    """A request failed, or wrk did; a rate that counts errors is not a result."""


class Load(BaseModel):
    """The figures of one run of wrk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int
    """Number of requests that were answered, with any status."""
    failed: int
    """Number of requests that were answered with 400 or above, or not at all."""
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
    """Read what wrk printed, of which the last line is post.lua's. Raises ValueError without it."""
    lines = output.strip().splitlines()
    try:
        return Load.model_validate_json(lines[-1] if lines else "")
    except ValidationError as error:
        raise ValueError(f"expected a line of JSON from wrk at the end, got {output!r}") from error


def require_wrk() -> str:
    """Return the path of wrk. Raises SystemExit, with how to install it, if there is none."""
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
    """Post `body`, with `headers` besides, for `seconds` (whole ones), from one thread of wrk.

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
