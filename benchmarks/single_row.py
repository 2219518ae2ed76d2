"""One heart row by HTTP: Foretell beside a plain typed FastAPI route, and the least there can be.

    python benchmarks/single_row.py [--seconds 3] [--rounds 3] [--connections 16]

All serve the same ONNX file with one worker; rounds alternate, medians are printed. The client is
Python too and shares the machine, so only the ratios mean anything.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UVICORN = "uvicorn --app-dir benchmarks {}:app --no-access-log --log-level error --port"
SERVERS = {
    "foretell": "service.cli serve --port",
    "plain FastAPI": UVICORN.format("plain"),
    "bare ASGI": UVICORN.format("bare"),
}


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(module: str) -> Iterator[int]:
    """Run `python -m module PORT` until ready; gives the port."""
    port = free_port()
    command = [sys.executable, "-m", *module.split(), str(port)]
    environment = os.environ | {"FORETELL_LOG_LEVEL": "error", "FORETELL_DEVICE": "cpu"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 30
        while not ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{module} did not start")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def ready(port: int) -> bool:
    """Whether /readyz answers 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def one_connection(port: int, request: bytes, until: float, times: list[float]) -> None:
    """Send the same request again and again on one connection, timing each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        start = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r")[0])
        await reader.readexactly(length)
        times.append(time.perf_counter() - start)
    writer.close()


async def load(port: int, request: bytes, connections: int, seconds: float) -> list[float]:
    """Seconds of every request of so many connections in so much time."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(one_connection(port, request, until, times) for _ in range(connections)))
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args()
    from service.tasks.heart import Patient

    extra = Patient.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    body = json.dumps(extra["example"]).encode()
    head = f"POST /v1/heart/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n".encode() + body

    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    with ExitStack() as servers:
        ports = {name: servers.enter_context(server(run)) for name, run in SERVERS.items()}
        for port in ports.values():
            asyncio.run(load(port, request, 1, 0.5))
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                times = asyncio.run(load(port, request, arguments.connections, arguments.seconds))
                rates[name].append(len(times) / arguments.seconds)
                p50, p99 = (statistics.quantiles(times, n=100)[i] * 1000 for i in (49, 98))
                print(
                    f"{name:14} {rates[name][-1]:8.0f} requests/s"
                    f"  p50 {p50:.2f} ms  p99 {p99:.2f} ms"
                )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"\nmedian of {arguments.rounds}, {arguments.connections} connections: {medians}")
    for name in list(SERVERS)[1:]:
        print(f"foretell : {name} = {medians['foretell'] / medians[name]:.2f} : 1")


if __name__ == "__main__":
    main()
