"""Settings, read once at start from FORETELL_* variables, frozen, and passed to `create_app`."""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import FieldProblem, SettingsError
from service.settings.limits import (
    MOST_PICTURE_BYTES,
    PICTURES_SHARE,
    BatchingMode,
    QueueLimits,
    available_cores,
    available_memory,
    parse_batch_sizes,
)
from service.settings.version_policy import VersionPolicies, parse_version_policies

PREFIX = "FORETELL_"
# Variables that training and tests read, so they are not misspelt settings of the service.
ELSEWHERE = frozenset(
    {"FORETELL_DATA_DIR", "FORETELL_V2_URL", "FORETELL_V2_GRPC", "FORETELL_V2_MODELS"}
)

SECRETS = frozenset({"admin_key"})

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
SERVICE_LINK = re.compile(
    r"FORETELL_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")

MAX_DECODERS = 4
"""Most decoder processes of a worker by default: four keep it busy."""


class Settings(BaseSettings):
    """The settings of one service. Each field is the variable FORETELL_<FIELD>."""

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
    """Versions that are served, beside labelled ones: see `service/settings/version_policy.py`."""

    poll_seconds: float = Field(2.0, ge=0, le=3600)
    """How often the folder of models is looked at for changes; 0: only when the service starts."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run. `auto`: CUDA if it works, else the CPU. `cuda`: not ready without it."""

    admin_key: SecretStr | None = None
    """Key for admin calls, at least 16 characters; without one there are none."""

    metrics: bool = True
    """Serve /metrics, for a Prometheus server to read."""

    max_body_bytes: int = Field(32 * 2**20, ge=1024)
    """Longest request body, except of a batch, also when decompressed or unpacked; more: 413."""

    max_bulk_bytes: int = Field(4 * 2**30, ge=1024)
    """Longest body of a batch, and most of its answers that is kept on disk; more: 413."""

    max_bulk_jobs: int = Field(2, ge=1, le=64)
    """Most batches scored at once by one process; more are refused with 503."""

    spool_dir: Path | None = None
    """Folder for answers and Parquet bodies of batches. None: the system's temporary folder."""

    max_pixels: int = Field(50_000_000, ge=1)
    """Largest picture decoded (width times height); more is refused with 413."""

    max_picture_bytes: int | None = Field(None, ge=2**20)
    """Most memory for decoding one picture; more: 413. None: 272 MiB, less on a small machine."""

    max_pictures: int = Field(256, ge=1)
    """Most pictures in one upload, zip files included; more is refused with 400."""

    image_decoders: int | None = Field(None, ge=1, le=64)
    """Decoder processes of each worker. None: one fewer than its share of the cores, 1 to 4."""

    batching: BatchingMode = "auto"
    """Dynamic batching of several callers' rows. `auto`: where it was measured to be faster."""

    batch_sizes: str | None = None
    """Rows of a batch, such as 1,2,4,8,16: taken as they are. None: those measured to be quick."""

    max_batch_delay_ms: float = Field(0.0, ge=0, le=50)
    """Milliseconds that the first call of a batch waits for others; 0: it takes those waiting."""

    max_queue_rows: int = Field(1024, ge=1)
    """Most rows that wait for a version, and pictures for a decoder, in each process; more: 503."""

    queue_timeout_seconds: float = Field(5.0, ge=0.1, le=300)
    """Longest that a call or a picture waits in that queue; then it is refused with 503."""

    max_connections: int = Field(4096, ge=1, le=100_000)
    """Most connections of one process; calls on more are refused with 503, health apart."""

    keepalive_seconds: int = Field(75, ge=1, le=3600)
    """How long a connection without a request is kept; longer than a proxy in front keeps it."""

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
            raise PydanticCustomError("folder", "a folder that exists and is writable")
        return folder

    @field_validator("batch_sizes")
    @classmethod
    def _are_sizes(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                parse_batch_sizes(text)
            except ValueError as error:
                raise PydanticCustomError("sizes", "{reason}", {"reason": str(error)}) from error
        return text

    @field_validator("version_policy")
    @classmethod
    def _is_a_policy(cls, text: str) -> str:
        try:
            parse_version_policies(text)
        except ValueError as error:
            raise PydanticCustomError("policy", "{reason}", {"reason": str(error)}) from error
        return text

    @cached_property
    def decoders(self) -> int:
        """The number of decoder processes of each worker."""
        return self.image_decoders or min(
            MAX_DECODERS, max(1, available_cores() // self.workers - 1)
        )

    @property
    def stop_seconds(self) -> float:
        """Longest that a stop takes: answers while it drains, then calls under way."""
        return self.drain_seconds + self.shutdown_seconds

    @cached_property
    def picture_bytes(self) -> int:
        """The memory that decoding one picture may take."""
        share = int(PICTURES_SHARE * available_memory()) // (self.workers * self.decoders)
        return self.max_picture_bytes or min(MOST_PICTURE_BYTES, share)

    @cached_property
    def queue(self) -> QueueLimits:
        """The limits of each model's queue."""
        delay = self.max_batch_delay_ms / 1000
        sizes = parse_batch_sizes(self.batch_sizes) if self.batch_sizes else ()
        return QueueLimits(
            self.max_queue_rows, self.queue_timeout_seconds, delay, self.batching, sizes
        )

    @cached_property
    def policy(self) -> VersionPolicies:
        """The policy that `version_policy` describes."""
        return parse_version_policies(self.version_policy)


def _service_links() -> set[str]:
    """Return the names of the variables in the environment that Kubernetes made for a Service."""
    return {
        name
        for name, value in os.environ.items()
        if SERVICE_LINK.fullmatch(name)
        or (name.startswith(PREFIX) and name.endswith("PORT") and SERVICE_URL.match(value))
    }


def read_settings(**overrides: object) -> Settings:
    """Read settings from the environment; `overrides` win over it, unless they are None.

    Variables that Kubernetes makes for a Service called `foretell` or `foretell-…` are passed over:
    FORETELL_PORT is then a URL, and none of the operator's. Raises SettingsError, which names every
    variable that is unknown or has a bad value.
    """
    links = _service_links()
    known = {PREFIX + name.upper() for name in Settings.model_fields} | ELSEWHERE
    unknown = sorted(
        name for name in os.environ if name.startswith(PREFIX) and name not in known | links
    )
    if unknown:
        raise SettingsError(
            f"unknown setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}"
        )
    defaults = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if PREFIX + name.upper() in links
    }
    given = defaults | {name: value for name, value in overrides.items() if value is not None}
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
