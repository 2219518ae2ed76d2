"""4,096 heart rows by the Open Inference Protocol, beside ONNX Runtime alone.

    python benchmarks/v2.py [--model heart] [--rows 4096] [--seconds 3] [--rounds 5]

ONNX Runtime alone is the same file in this process, one thread, arrays ready in memory. The service
is another process; the client is this one and shares the machine, so only the ratios mean anything.
"""

import argparse
import asyncio
import json
import statistics
import time

import numpy as np
import onnxruntime as ort
from single_row import load, server

from service.artifact import read_artifact
from service.settings import Settings


def bare(model: str, rows: "np.ndarray") -> float:
    """Runs a second of a loop around the session, for a second."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    file = read_artifact(Settings().models_dir, model).model
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    session.run(None, {"features": rows})
    return repeated(lambda: session.run(None, {"features": rows}), 1)


def repeated(call, seconds: float) -> float:
    """Calls a second."""
    start, calls = time.perf_counter(), 0
    while (now := time.perf_counter()) - start < seconds:
        call()
        calls += 1
    return calls / (now - start)


def as_request(model: str, body: bytes, *headers: str) -> bytes:
    """The bytes of a POST."""
    path = f"POST /v2/models/{model}/infer HTTP/1.1"
    lines = [path, "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def requests(model: str, rows: "np.ndarray") -> dict[str, bytes]:
    """The same rows in each form."""
    tensor = {"name": "features", "shape": list(rows.shape), "datatype": "FP32"}
    data = rows.tobytes()
    parameters = {"binary_data_output": True}
    described = tensor | {"parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [described], "parameters": parameters}).encode()
    values = [None if np.isnan(value) else value for value in rows.ravel().tolist()]
    text = json.dumps({"inputs": [tensor | {"data": values}]}).encode()
    return {
        "V2 binary": as_request(
            model, head + data, f"Inference-Header-Content-Length: {len(head)}"
        ),
        "V2 raw": as_request(model, data, "Inference-Header-Content-Length: 0"),
        "V2 JSON": as_request(model, text),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="heart", help="heart, or another recipe of it")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    golden, _ = read_artifact(Settings().models_dir, arguments.model).golden()
    rows = np.resize(golden, (arguments.rows, golden.shape[1]))
    forms = requests(arguments.model, rows)

    rates: dict[str, list[float]] = {}
    with server("service.cli serve --port") as port:
        for request in forms.values():
            asyncio.run(load(port, request, 1, 0.5))
        for _ in range(arguments.rounds):
            measured = {"ONNX Runtime alone": bare(arguments.model, rows)}
            for name, request in forms.items():
                for connections in (1, 4):
                    times = asyncio.run(load(port, request, connections, arguments.seconds))
                    label = f"{name}, {connections} connection{'s' * (connections > 1)}"
                    measured[label] = len(times) / arguments.seconds
            for name, rate in measured.items():
                rates.setdefault(name, []).append(rate)
    alone = rates["ONNX Runtime alone"]
    print(f"{arguments.rows:,} rows a request, medians of {arguments.rounds} rounds")
    for name, found in rates.items():
        ratio = statistics.median(one / other for one, other in zip(found, alone, strict=True))
        million = statistics.median(found) * arguments.rows / 1e6
        print(f"{name:24} {million:6.2f} M rows/s  {ratio:.2f} of ONNX Runtime alone")


if __name__ == "__main__":
    main()
