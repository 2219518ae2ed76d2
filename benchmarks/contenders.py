"""Who is compared on one heart row, how each is run, and why so: read it before you trust a table.

Every server gets the same 13 values of the same patient, runs models/heart/1 with one ONNX Runtime
thread, validates the row with pydantic and answers its probability. One worker, no access log, no
metrics, uvloop and httptools where the server takes them. Batching across callers is off: one row
takes 10 to 30 us, less than any wait for a second one.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.environments import PEERS, interpreter
from benchmarks.servers import ROOT

SOURCES = str(PEERS)
UVICORN = "-m uvicorn --app-dir benchmarks {}:app --no-access-log --log-level error --port {{port}}"


def as_it_is(value: Any) -> Any:
    """The payload as Foretell takes it."""
    return value


def as_tensor(payload: Any) -> Any:
    """Its values as the one input of the V2 protocol."""
    values = list(payload.values())
    tensor = {"name": "features", "shape": [1, len(values)], "datatype": "FP32", "data": values}
    return {"inputs": [tensor]}


def of_answer(answer: Any) -> float:
    """The probability where nearly everyone puts it."""
    return float(answer["probability"])


@dataclass(frozen=True)
class Contender:
    """One server: how to start it and how to ask it."""

    name: str
    arguments: str
    """For its Python, or its environment's program; `{port}` is filled in."""
    note: str
    """What was chosen for it, for the table."""
    path: str = "/predict"
    peer: str | None = None
    """Folder in peers/ with its requirements; None: it runs in this environment."""
    package: str | None = None
    """The package whose version names it."""
    program: str = "python"
    variables: Mapping[str, str] = field(default_factory=dict)
    enclose: Callable[[Any], Any] = as_it_is
    find: Callable[[Any], float] = of_answer

    def python(self) -> Path:
        """Its interpreter, installed if need be. Raises Unavailable."""
        return interpreter(self.peer) if self.peer else Path(sys.executable)

    def command(self) -> list[str]:
        """What to run. Raises Unavailable if it cannot be installed."""
        python = self.python()
        program = python if self.program == "python" else python.with_name(self.program)
        return [str(program), *self.arguments.split()]

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return PEERS / self.peer if self.peer else ROOT

    def environment(self) -> dict[str, str]:
        """Variables on top of ours; peers find heart.py, and nobody phones home."""
        quiet = {
            "BENTOML_DO_NOT_TRACK": "True",
            "RAY_USAGE_STATS_ENABLED": "0",
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONWARNINGS": "ignore",
        }
        return quiet | ({"PYTHONPATH": SOURCES} if self.peer else {}) | dict(self.variables)

    def body(self, payload: Any) -> bytes:
        """A request's body; bytes go as they are."""
        if isinstance(payload, bytes):
            return payload
        return json.dumps(self.enclose(payload)).encode()


FORETELL = Contender(
    name="Foretell",
    arguments="-m service.cli serve --port {port}",
    note="`foretell serve` with `FORETELL_LOG_LEVEL=error` (the default `info` logs each request)",
    path="/v1/heart/predict",
    variables={"FORETELL_LOG_LEVEL": "error", "FORETELL_DEVICE": "cpu"},
)
PLAIN = Contender(
    name="plain FastAPI",
    arguments=UVICORN.format("plain"),
    note="a typed `async def` route around the session, Foretell's own payload",
    path="/v1/heart/predict",
    package="fastapi",
)
BARE = Contender(
    name="bare ASGI",
    arguments=UVICORN.format("bare"),
    note="validates, computes and answers, no framework: about the most uvicorn allows",
    path="/v1/heart/predict",
    package="uvicorn",
)
MLSERVER = Contender(
    name="MLServer",
    arguments="server.py {port}",
    note="`MLModel`, V2 protocol, NumPy codec, no field validation, `parallel_workers=0`",
    path="/v2/models/heart/infer",
    peer="mlserver",
    package="mlserver",
    enclose=as_tensor,
    find=lambda answer: float(answer["outputs"][0]["data"][0]),
)
PEER_SERVERS = (
    Contender(
        name="KServe",
        arguments="server.py --http_port {port} --configure_logging False",
        note="custom `Model`, V1 protocol (quicker than V2), pydantic in `predict`, no gRPC",
        path="/v1/models/heart:predict",
        peer="kserve",
        package="kserve",
        enclose=lambda payload: {"instances": [payload]},
        find=lambda answer: float(answer["predictions"][0]),
    ),
    MLSERVER,
    replace(
        MLSERVER,
        name="MLServer handler",
        note="a typed custom handler beside the V2 protocol: a FastAPI route, in effect",
        path="/predict",
        enclose=as_it_is,
        find=of_answer,
    ),
    Contender(
        name="LitServe",
        arguments="server.py {port}",
        note="typed request, `fast_queue=True`, one API server, one worker",
        peer="litserve",
        package="litserve",
    ),
    Contender(
        name="BentoML",
        program="bentoml",
        arguments="serve server:HeartService --host 127.0.0.1 --port {port}",
        note="typed `async` API with the payload as root input, one worker",
        peer="bentoml",
        package="bentoml",
    ),
    Contender(
        name="Ray Serve",
        arguments="server.py {port}",
        note="typed FastAPI ingress, one replica, HAProxy and throughput mode",
        peer="ray",
        package="ray",
        variables={
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",  # 5 s are few on a small machine
            "RAY_AUTH_MODE": "disabled",
        },
    ),
)


def most_likely(answer: Any) -> float:
    """The probability of the digit a picture is taken for."""
    return float(max(answer["probabilities"]))


FORETELL_PICTURES = replace(FORETELL, path="/v1/digits/predict", find=most_likely)
LITSERVE_PICTURES = Contender(
    name="LitServe",
    arguments="pictures.py {port}",
    note="multipart form, service/images/pixels in the worker, `fast_queue=True`, one worker",
    peer="litserve",
    package="litserve",
    variables={"PYTHONPATH": f"{SOURCES}:{ROOT}"},
    find=most_likely,
)
OURS = (FORETELL, PLAIN, BARE)
EVERYONE = (*OURS, *PEER_SERVERS)
