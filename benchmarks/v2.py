"""Batches of 4,096 heart rows over the Open Inference Protocol, beside ONNX Runtime by itself.

    python -m benchmarks.v2 [--model heart] [--rows 4096] [--seconds 2] [--rounds 5]

ONNX Runtime by itself runs the same file in this process, on one thread, with arrays that are ready
in memory. The service is another process and wrk the client; all run on one machine, so only the
ratios mean anything.
"""

import argparse
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.contenders import FORETELL
from benchmarks.load import drive
from benchmarks.servers import running
from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings


def bare(model: str, rows: NDArray[np.float32]) -> float:
    """Return the runs per second of a loop around the session, measured for a second."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    file = read_artifact(Settings().models_dir, model).model
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    session.run(None, {"features": rows})
    return repeated(lambda: session.run(None, {"features": rows}), 1)


def repeated(call: Callable[[], object], seconds: float) -> float:
    """Return the calls per second."""
    start, calls = time.perf_counter(), 0
    while (now := time.perf_counter()) - start < seconds:
        call()
        calls += 1
    return calls / (now - start)


@dataclass(frozen=True)
class Form:
    """A request with the rows in one of the protocol's forms."""

    name: str
    body: bytes
    json_size: int | None = None
    """Bytes of the JSON before binary data; None: the whole body is JSON."""

    @property
    def headers(self) -> dict[str, str]:
        """The header that gives the length of the JSON, if there is binary data."""
        if self.json_size is None:
            return {}
        return {"Inference-Header-Content-Length": str(self.json_size)}


def forms(rows: NDArray[np.float32]) -> list[Form]:
    """Return the rows as binary data after a JSON header, as one raw tensor, and as JSON."""
    tensor = {"name": "features", "shape": list(rows.shape), "datatype": "FP32"}
    data = rows.tobytes()
    described = tensor | {"parameters": {"binary_data_size": len(data)}}
    binary = {"inputs": [described], "parameters": {"binary_data_output": True}}
    head = json.dumps(binary).encode()
    values = [None if np.isnan(value) else value for value in rows.ravel().tolist()]
    text = json.dumps({"inputs": [tensor | {"data": values}]}).encode()
    return [
        Form("V2 binary", head + data, len(head)),
        Form("V2 raw", data, 0),
        Form("V2 JSON", text),
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="heart", help="a model of the task heart")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--seconds", type=int, default=2, help="whole seconds of each load")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    golden, _ = read_artifact(Settings().models_dir, arguments.model).golden()
    rows = np.resize(golden, (arguments.rows, golden.shape[1]))

    rates: dict[str, list[float]] = {}
    command = [sys.executable, *FORETELL.arguments.split()]
    with running(command, ready, variables=FORETELL.variables) as service:
        url = f"http://127.0.0.1:{service.port}/v2/models/{arguments.model}/infer"
        for _ in range(arguments.rounds):
            measured = {"ONNX Runtime alone": bare(arguments.model, rows)}
            for form in forms(rows):
                for connections in (1, 4):
                    load = drive(
                        url,
                        form.body,
                        "application/octet-stream",
                        connections=connections,
                        seconds=arguments.seconds,
                        headers=form.headers,
                    )
                    label = f"{form.name}, {connections} connection{'s' * (connections > 1)}"
                    measured[label] = load.requests / load.seconds
            for name, rate in measured.items():
                rates.setdefault(name, []).append(rate)
    alone = rates["ONNX Runtime alone"]
    print(f"{arguments.rows:,} rows a request, medians of {arguments.rounds} rounds")
    for name, found in rates.items():
        ratio = statistics.median(one / other for one, other in zip(found, alone, strict=True))
        million = statistics.median(found) * arguments.rows / 1e6
        print(f"{name:24} {million:6.2f} M rows/s  {ratio:.2f} of ONNX Runtime alone")


def ready(port: int) -> bool:
    """Return true once every model is loaded."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
