"""Whole tables by HTTP: rows a second in each format, beside ONNX Runtime alone.

    python benchmarks/bulk.py [--rows 1000000] [--rounds 3] [--model heart-mlp16] [--quick]

One worker, made-up patients with all thirteen fields and an account number. curl sends each format
from a file and takes the whole answer; ONNX Runtime scores the same array in one thread of this
process. Everything takes turns, round after round; medians and their ratios are printed, the time
of single rows while a CSV table is scored beside their time without, and the service's memory.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from service.contract.tabular import TabularTask
from service.models.artifacts.artifact import read_artifact
from service.models.runtime.session import OnnxSession
from service.settings.settings import Settings
from service.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
MEDIA = {
    "Arrow": "application/vnd.apache.arrow.stream",
    "Parquet": "application/vnd.apache.parquet",
    "CSV": "text/csv",
    "NDJSON": "application/x-ndjson",
    "JSON": "application/json",
}
SLICE = 65_536


def made_up_table(rows: int) -> Any:
    """Made-up patients as a table, whole numbers as integers."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {"account": pa.array(f"{row:09d}" for row in range(rows))}
    for feature in TASKS["heart"].contract.features:
        if feature.low is None or feature.high is None:
            columns[feature.name] = rng.choice(list(feature.codes), rows).astype(np.int8)
        elif feature.high - feature.low < 50:
            columns[feature.name] = np.round(rng.uniform(0, 6, rows), 1)
        else:
            columns[feature.name] = rng.integers(feature.low, feature.high, rows, np.int16)
    return pa.table(columns)


def write_files(table: Any, folder: Path) -> dict[str, Path]:
    """The table in each format."""
    files = {name: folder / name for name in MEDIA}
    with pa.ipc.new_stream(files["Arrow"], table.schema) as stream:
        stream.write_table(table, SLICE)
    pq.write_table(table, files["Parquet"], row_group_size=SLICE)
    pa_csv.write_csv(table, files["CSV"])
    with files["NDJSON"].open("w") as lines, files["JSON"].open("w") as array:
        between = "["
        for batch in table.to_batches(SLICE):
            for row in map(json.dumps, batch.to_pylist()):
                lines.write(row + "\n")
                array.write(between + row)
                between = ","
        array.write("]")
    return files


@contextmanager
def service() -> Iterator[tuple[int, int]]:
    """A service with one worker; gives its port and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
    environment = os.environ | {"FORETELL_LOG_LEVEL": "error", "FORETELL_DEVICE": "cpu"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 30
        while not ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the service did not start")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def ready(port: int) -> bool:
    """Return True if /readyz answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def post(port: int, model: str, media: str, file: Path) -> float:
    """Seconds from sending a table to having its answer."""
    url = f"http://127.0.0.1:{port}/v1/heart/predict/batch?model={model}"
    form = "%{http_code} %{time_total}"
    command = ["curl", "-sS", "-X", "POST", "-T", str(file), "-H", f"Content-Type: {media}", url]
    answer = subprocess.run(
        [*command, "-o", f"{file}.answer", "-w", form], capture_output=True, text=True, check=True
    )
    status, seconds = answer.stdout.split()
    if status != "200":
        raise SystemExit(Path(f"{file}.answer").read_text())
    return float(seconds)


def alone(session: OnnxSession, array: Any) -> float:
    """Seconds of ONNX Runtime on an array, given to it as the service does."""
    start = time.perf_counter()
    session.run(array)
    return time.perf_counter() - start


def single_rows(port: int, while_true: Callable[[], bool]) -> list[float]:
    """Milliseconds of one row after the other on one connection."""
    example: Any = TASKS["heart"].payload.model_config["json_schema_extra"]  # type: ignore[union-attr]
    body = json.dumps(example["example"])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    while while_true():
        start = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/heart/predict", body, headers)
        connection.getresponse().read()
        times.append((time.perf_counter() - start) * 1000)
    connection.close()
    return times


def single_rows_meanwhile(port: int, model: str, media: str, file: Path) -> list[float]:
    """The same, while a table is scored."""
    scoring = threading.Thread(target=post, args=(port, model, media, file))
    scoring.start()
    times = single_rows(port, scoring.is_alive)
    scoring.join()
    return times


def memory_mib(process: int, what: str) -> float:
    """VmRSS or VmHWM (its peak) of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def percentiles(times: list[float]) -> str:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49]:.2f} ms  p99 {cuts[98]:.2f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="heart")
    parser.add_argument("--quick", action="store_true", help="seconds, one round: does it run?")
    arguments = parser.parse_args()
    rows = 30_000 if arguments.quick else arguments.rows
    rounds = 1 if arguments.quick else arguments.rounds

    task = TASKS["heart"]
    assert isinstance(task, TabularTask)
    table = made_up_table(rows)
    names = [feature.name for feature in task.features]
    array = np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32)
    model = read_artifact(Settings().models_dir, arguments.model).model
    session = OnnxSession(model, "cpu")
    rates: dict[str, list[float]] = {name: [] for name in ("ONNX Runtime alone", *MEDIA)}
    with tempfile.TemporaryDirectory() as folder, service() as (port, process):
        files = write_files(table, Path(folder))
        before = memory_mib(process, "VmRSS")
        for _ in range(rounds):
            rates["ONNX Runtime alone"].append(rows / alone(session, array))
            for name, media in MEDIA.items():
                rates[name].append(rows / post(port, arguments.model, media, files[name]))
        peak = memory_mib(process, "VmHWM")
        until = time.monotonic() + (0.5 if arguments.quick else 3)
        calm = single_rows(port, lambda: time.monotonic() < until)
        busy = {
            name: single_rows_meanwhile(port, arguments.model, MEDIA[name], files[name])
            for name in ("Arrow", "CSV", "NDJSON")
        }
    alone_rate = statistics.median(rates["ONNX Runtime alone"])
    print(f"{arguments.model}, {rows:,} rows, median of {rounds}, {os.cpu_count()} cores")
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"{name:18} {rate:12,.0f} rows/s   {rate / alone_rate:5.2f} of the runtime alone")
    print(f"memory before {before:.0f} MiB, at its peak {peak:.0f} MiB")
    print(f"single rows, nothing else to do: {percentiles(calm)}")
    for name, times in busy.items():
        if len(times) > 2:
            print(f"single rows while {name} is scored: {percentiles(times)} ({len(times)} rows)")


if __name__ == "__main__":
    main()
