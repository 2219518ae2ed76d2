"""Dynamic batching switched on and off, model by model, without HTTP and with it.

    python -m benchmarks.batching [MODEL ...] [--connections 1 4 16 64] [--seconds 2] [--rounds 5]

The first table is measured in this process: the time of a row that is computed by itself, and of a
row that is batched on the event loop. The overhead is what batching adds to the session's time for
the row and to the asyncio task of its call. The second table compares two services, one with
FORETELL_BATCHING=on and one with `off`. Both stay up and are loaded in turn, so that other work on
the machine disturbs both alike; the figures are medians of the rounds, and the ratio is the median
of each round's ratio. CPU time per request is that of the service's process; of all figures it
is disturbed least.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.canvas import canvas
from benchmarks.load import Load, drive, require_wrk
from benchmarks.servers import Running, running
from service.contract.tabular import TabularTask
from service.models.artifacts.artifact import read_artifact
from service.models.artifacts.folder import list_models
from service.models.runtime.batcher import Batcher
from service.models.runtime.batching_plan import (
    BATCHING_OVERHEAD_US,
    MIN_SPEEDUP,
    REFERENCE_BATCH,
    plan_batching,
)
from service.models.runtime.loaded import LoadedModel
from service.models.versions.loader import ModelLoader
from service.settings.limits import QueueLimits
from service.settings.settings import Settings
from service.tasks import TASKS
from training.markdown import markdown

SERVE = [sys.executable, "-m", "service.cli", "serve", "--device", "cpu", "--port", "{port}"]
MODES = ("off", "on")
TURNS = 200
COLUMNS = ("requests/s", "p50 ms", "p99 ms", "CPU us")


async def turn(call: Callable[[NDArray[Any]], Awaitable[Any]], rows: int, row: Any) -> float:
    """Return the microseconds per row when `rows` callers call in one turn of the event loop."""
    start = time.perf_counter()
    for task in [asyncio.create_task(call(row)) for _ in range(rows)]:  # type: ignore[arg-type, var-annotated]
        await task
    return (time.perf_counter() - start) / rows * 1e6


async def in_process(served: LoadedModel, row: NDArray[Any]) -> list[str]:
    """Return a line of the first table: REFERENCE_BATCH callers at once, unbatched and batched."""

    async def unbatched(row: NDArray[Any]) -> Any:
        return served.session.run_row(row[0])

    queue = QueueLimits(mode="on")
    batching = plan_batching(served.session, row[0], queue)
    batcher = Batcher(served.card.name, served.session, batching, queue, served.queued)
    one, many = np.ascontiguousarray(row), min(REFERENCE_BATCH, batcher.most)
    times: dict[str, list[float]] = {"unbatched": [], "batched": []}
    for _ in range(TURNS):
        times["unbatched"].append(await turn(unbatched, many, one))
        times["batched"].append(await turn(batcher.submit, many, one))
    bare = served.session.measure_batch(np.concatenate([one] * many)).us / many
    single, batched = (statistics.median(found) for found in times.values())
    decided = plan_batching(served.session, row[0], QueueLimits())
    return [
        served.card.name,
        f"{served.row_us:.1f}",
        str(many),
        f"{bare:.1f}",
        f"{single:.1f}",
        f"{batched:.1f}",
        f"{(batched - bare) - (single - served.row_us):.1f}",
        f"{decided.speedup:.2f}",
        "on" if decided.on else "off",
    ]


def question(served: LoadedModel) -> tuple[bytes, str]:
    """Return the body of a request to a model, and its content type."""
    if isinstance(served.task, TabularTask):
        example: Any = served.task.payload.model_config["json_schema_extra"]
        return json.dumps(example["example"]).encode(), "application/json"
    return canvas(), "image/png"


def by_http(
    served: LoadedModel, services: dict[str, Running], connections: int, seconds: int, rounds: int
) -> list[str]:
    """Return a line of the second table: a model's figures over HTTP, unbatched and batched."""
    body, kind = question(served)
    path = f"/v1/{served.task.name}/predict?model={served.card.name}"
    loads: dict[str, list[Load]] = {mode: [] for mode in MODES}
    spent: dict[str, list[float]] = {mode: [] for mode in MODES}
    for number in range(rounds):
        for mode in MODES if number % 2 else MODES[::-1]:
            service = services[mode]
            url, before = f"http://127.0.0.1:{service.port}{path}", cpu_seconds(service.pid)
            load = drive(url, body, kind, connections=connections, seconds=seconds)
            loads[mode].append(load)
            spent[mode].append((cpu_seconds(service.pid) - before) / load.requests * 1e6)
    ratios = [on.rate / off.rate for off, on in zip(*loads.values(), strict=True)]
    cells = [served.card.name, str(connections)]
    for mode in MODES:
        rate = statistics.median(load.rate for load in loads[mode])
        p50, p99 = (
            statistics.median(getattr(load, name) for load in loads[mode])
            for name in ("p50_ms", "p99_ms")
        )
        cells += [
            f"{rate:,.0f}",
            f"{p50:.2f}",
            f"{p99:.2f}",
            f"{statistics.median(spent[mode]):.0f}",
        ]
    return [*cells, f"{statistics.median(ratios):.2f}"]


def cpu_seconds(pid: int) -> float:
    """Return the seconds of processor time that a process has used. Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ready(port: int) -> bool:
    """Return true once a service has loaded its models."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def main() -> None:
    """Measure and print both tables."""
    models_dir = Settings().models_dir
    known = list_models(models_dir)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(known))
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=int, default=2, help="of each load")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    if unknown := set(chosen.models) - set(known):
        parser.error(f"expected models of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    if min(*chosen.connections, chosen.seconds, chosen.rounds) < 1:
        parser.error("--connections, --seconds and --rounds: expected at least 1")
    require_wrk()
    loader = ModelLoader(models_dir, TASKS, "cpu")
    served = {name: loader.load_version(name) for name in chosen.models or known}

    async def first_table() -> list[list[str]]:
        return [await in_process(one, golden_row(models_dir, one)) for one in served.values()]

    print(
        f"Microseconds per row, medians of {TURNS} turns. A model's rows are batched if that "
        f"makes them {MIN_SPEEDUP} times cheaper, with {BATCHING_OVERHEAD_US:g} us of overhead.\n"
    )
    head = ["model", "row_us", "callers", "session / row", "unbatched", "batched", "overhead"]
    print(markdown([*head, "speedup", "auto"], uvloop.run(first_table())), flush=True)

    quiet = {"FORETELL_LOG_LEVEL": "error"}
    with ExitStack() as both:
        services = {
            mode: both.enter_context(
                running(SERVE, ready, variables=quiet | {"FORETELL_BATCHING": mode})
            )
            for mode in MODES
        }
        lines = [
            by_http(one, services, connections, chosen.seconds, chosen.rounds)
            for one in served.values()
            for connections in chosen.connections
        ]
    head = ["model", "connections"]
    head += [f"{word}, {mode}" for mode in MODES for word in COLUMNS]
    print(f"\n{markdown([*head, 'on / off'], lines)}")


def golden_row(models_dir: Path, served: LoadedModel) -> NDArray[Any]:
    """Return the first golden input of a model, as a batch [1, …]."""
    rows, _ = read_artifact(models_dir, served.card.name).golden()
    return rows[:1]


if __name__ == "__main__":
    main()
