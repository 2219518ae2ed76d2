"""Microseconds of one heart request in uvicorn and application, without sockets, client or kernel.

    python benchmarks/in_process.py [--rounds 300] [--connections 16]

The same three applications as single_row.py, in one process and by turns, each request on one of so
many connections whose other end is nowhere. Machines that do other things at the same time disturb
this far less than they disturb sockets: compare the least of many rounds.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ |= {"FORETELL_LOG_LEVEL": "error", "FORETELL_DEVICE": "cpu"}

import bare
import plain

from service.api.app import create_app
from service.api.http.front_door import FrontDoor
from service.observability.logs import configure_logs
from service.server.uvicorn_server import http_options
from service.settings.settings import Settings
from service.tasks.heart import Patient


class Nowhere(asyncio.Transport):
    """Takes everything and sends nothing."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.sent = b""

    def write(self, data: Any) -> None:
        """Keep the latest."""
        self.sent = data

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""


def connections(app: Any, count: int) -> list[Any]:
    """Return `count` HTTP protocols of an application, of the class that serves it, connected."""
    http: Any = http_options(Settings())["http"] if isinstance(app, FrontDoor) else "httptools"
    config = Config(app, http=http, log_config=None, access_log=False, server_header=False)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Sat, 21 Nov 2026 12:00:00 GMT")]
    loop = asyncio.get_running_loop()
    found = [config.http_protocol_class(config, state, {}, loop) for _ in range(count)]  # type: ignore[call-arg, arg-type]
    for protocol in found:
        protocol.connection_made(Nowhere())  # type: ignore[arg-type]
        protocol.access_log = False
    return found


async def once(protocols: list[Any], request: bytes) -> float:
    """Microseconds of a request, with one on every connection at once."""
    start = time.perf_counter()
    for protocol in protocols:
        protocol.data_received(request)
    while any(not protocol.cycle.response_complete for protocol in protocols):
        await asyncio.sleep(0)
    return (time.perf_counter() - start) / len(protocols) * 1e6


async def measure(rounds: int, count: int) -> None:
    """Print a line for each application."""
    settings = Settings()
    configure_logs(settings)
    foretell = create_app(settings)
    foretell.state.registry.refresh()
    extra: Any = Patient.model_config["json_schema_extra"]
    body = json.dumps(extra["example"]).encode()
    head = f"POST /v1/heart/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n".encode() + body

    applications = {"foretell": foretell, "plain FastAPI": plain.app, "bare ASGI": bare.app}
    ends = {name: connections(app, count) for name, app in applications.items()}
    times: dict[str, list[float]] = {name: [] for name in ends}
    gc.freeze()
    for _ in range(rounds):
        for name, protocols in ends.items():
            times[name].append(await once(protocols, request))
    for name, protocols in ends.items():
        assert b"probability" in protocols[0].transport.sent, name
        least, median = min(times[name]), statistics.median(times[name])
        ratio = least / min(times["foretell"])
        print(f"{name:14} least {least:6.1f} us  median {median:6.1f} us  {ratio:.2f} of foretell")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    uvloop.run(measure(arguments.rounds, arguments.connections))


if __name__ == "__main__":
    main()
