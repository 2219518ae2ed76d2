"""Settings: read once at start from FORETELL_* variables, frozen, passed to `create_app`."""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import FieldProblem, SettingsError
from service.settings.limits import BatchingMode, QueueLimits, available_cores
from service.settings.version_policy import VersionPolicies, parse_version_policies

PREFIX = "FORETELL_"
# Read by other parts of Foretell (training, tests), so not misspelt settings of the service.
ELSEWHERE = frozenset(
    {"FORETELL_DATA_DIR", "FORETELL_V2_URL", "FORETELL_V2_GRPC", "FORETELL_V2_MODELS"}
)

SECRETS = frozenset({"admin_key"})

MOST_READERS = 4
"""Unless told: what they read keeps one worker busy."""


class Settings(BaseSettings):
    """How one service runs. Each field is the variable FORETELL_<FIELD>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface, as in a container."""

    port: int = Field(8000, ge=0, le=65535)
    """TCP port to listen on; 0 takes a free one."""

    http: Literal["fast", "uvicorn"] = "fast"
    """Protocol of a connection. `uvicorn`: uvicorn's own; `fast`: less work for each request."""

    grpc_port: int | None = Field(None, ge=0, le=65535)
    """TCP port of the Open Inference Protocol over gRPC; 0 takes a free one. None: no gRPC."""

    workers: int = Field(1, ge=1, le=1024)
    """Processes that answer on the port, each with models of its own; one a core, say."""

    models_dir: Path = Path(__file__).resolve().parents[2] / "models"
    """Folder of `<name>/<version>/model.onnx`; the only place models are ever loaded from."""

    version_policy: str = "latest"
    """Which versions are served, beside labelled ones (`service/settings/version_policy.py`)."""

    poll_seconds: float = Field(2.0, ge=0, le=3600)
    """How often the folder of models is looked at for changes; 0: only when the service starts."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run. `auto`: CUDA if it works, else the CPU. `cuda`: not ready without it."""

    admin_key: SecretStr | None = None
    """Key of operators, at least 16 characters; without one, there are no control calls."""

    metrics: bool = True
    """Whether /metrics is there, for a Prometheus server to read."""

    max_body_bytes: int = Field(32 * 2**20, ge=1024)
    """Longest request body but portfolios, also when decompressed or unpacked; more: 413."""

    max_bulk_bytes: int = Field(4 * 2**30, ge=1024)
    """Longest portfolio taken in, and most that is kept of its answers; more is a 413."""

    max_bulk_jobs: int = Field(2, ge=1, le=64)
    """Most portfolios scored at once by one process; more are refused with 503."""

    spool_dir: Path | None = None
    """Folder for what is kept of portfolios; by default the system's for temporary files."""

    max_pixels: int = Field(50_000_000, ge=28 * 28)
    """Largest picture decoded (width times height); more is refused with 413."""

    max_pictures: int = Field(256, ge=1)
    """Most pictures in one upload, zip files included; more is refused with 400."""

    image_decoders: int | None = Field(None, ge=1, le=64)
    """Processes that read pictures for each worker. None: one core fewer than it has, at most 4."""

    batching: BatchingMode = "auto"
    """Whether callers of a model share its runs. `auto`: where that was measured to pay."""

    max_batch_delay_ms: float = Field(0.0, ge=0, le=50)
    """How long the first call of a shared run waits for others; 0: a run takes what has come."""

    max_queue_rows: int = Field(1024, ge=1)
    """Most rows that wait for a version of such a model, in each process; more get a 503."""

    queue_timeout_seconds: float = Field(5.0, ge=0.1, le=300)
    """Longest that a call waits there; then it is refused with 503 rather than answered late."""

    drain_seconds: float = Field(0.0, ge=0, le=300)
    """After SIGTERM: how long to go on answering, as not ready, before connections are closed."""

    shutdown_seconds: int = Field(30, ge=1, le=300)
    """How long requests under way may take to finish once draining is over."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`json`: an object a line; `console`: for people; `auto`: console on a terminal, else json."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Events below this level are not logged."""

    @field_validator("admin_key")
    @classmethod
    def _is_long(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key) < 16:
            raise PydanticCustomError("key", "a key of at least 16 characters")
        return key

    @field_validator("spool_dir")
    @classmethod
    def _is_writable(cls, folder: Path | None) -> Path | None:
        if folder and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise PydanticCustomError("folder", "a folder that is there and can be written to")
        return folder

    @field_validator("version_policy")
    @classmethod
    def _is_a_policy(cls, text: str) -> str:
        try:
            parse_version_policies(text)
        except ValueError as error:
            raise PydanticCustomError("policy", "{reason}", {"reason": str(error)}) from error
        return text

    @cached_property
    def readers(self) -> int:
        """How many processes read pictures for each worker."""
        return self.image_decoders or min(
            MOST_READERS, max(1, available_cores() // self.workers - 1)
        )

    @cached_property
    def queue(self) -> QueueLimits:
        """What may wait for a model."""
        delay = self.max_batch_delay_ms / 1000
        return QueueLimits(self.max_queue_rows, self.queue_timeout_seconds, delay, self.batching)

    @cached_property
    def policy(self) -> VersionPolicies:
        """What `versions` says."""
        return parse_version_policies(self.version_policy)


def read_settings(**overrides: object) -> Settings:
    """Settings from the environment; `overrides` (None = not given) win, as on a command line.

    Raises SettingsError naming every variable that is unknown or has a bad value.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | ELSEWHERE
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(
            f"unknown setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}"
        )
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        problems = [
            FieldProblem(
                PREFIX + str(e["loc"][0]).upper(),
                e["msg"].removeprefix("Input should be "),
                repr(e["input"]) if e["loc"][0] not in SECRETS else "another (not shown here)",
            )
            for e in error.errors()
        ]
        raise SettingsError("; ".join(str(problem) for problem in problems)) from error
