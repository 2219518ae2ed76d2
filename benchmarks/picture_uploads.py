"""The latency of heart rows while the picture route of the same service is saturated.

    python -m benchmarks.picture_uploads [--rounds 3] [--seconds 3]

One service with one worker. wrk loads the picture route over 16 connections, then the heart route,
then both together. `benchmarks/canvas.py` compares the picture route with LitServe.
"""

import argparse
import json
import statistics
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from benchmarks.canvas import question
from benchmarks.contenders import FORETELL, FORETELL_PICTURES, Contender
from benchmarks.load import Load, drive
from benchmarks.rounds import MANY, answer, heart_row
from benchmarks.servers import running


def one_round(seconds: int) -> tuple[dict[str, Load], float]:
    """Load each route by itself, then both; also return the CPU milliseconds of an upload."""
    row, picture = heart_row(), question()
    body = json.dumps(row.payload).encode()

    def answers(port: int) -> bool:
        return answer(FORETELL, port, body, row.content_type) is not None

    with running(FORETELL.command(), answers, variables=FORETELL.environment()) as server:

        def load(contender: Contender, connections: int, seconds: int) -> Load:
            url = f"http://127.0.0.1:{server.port}{contender.path}"
            asked = row if contender is FORETELL else picture
            content = body if contender is FORETELL else picture.payload
            return drive(url, content, asked.content_type, connections=connections, seconds=seconds)

        load(FORETELL_PICTURES, MANY, 1)
        load(FORETELL, MANY, 1)
        before = server.processor_seconds()
        uploads = load(FORETELL_PICTURES, MANY, seconds)
        each_ms = 1000 * (server.processor_seconds() - before) / uploads.requests
        measured = {
            "pictures alone, 16 connections": uploads,
            "pictures alone, one connection": load(FORETELL_PICTURES, 1, seconds),
            "heart alone, 16 connections": load(FORETELL, MANY, seconds),
            "heart alone, one connection": load(FORETELL, 1, seconds),
        }
        for connections, name in ((MANY, "16 connections"), (1, "one connection")):
            with ThreadPoolExecutor(1) as background:
                beside = background.submit(load, FORETELL_PICTURES, MANY, seconds + 1)
                measured[f"heart beside pictures, {name}"] = load(FORETELL, connections, seconds)
                measured[f"pictures beside heart, {name}"] = beside.result()
    return measured, each_ms


def main() -> None:
    """Measure and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    chosen = parser.parse_args()
    rounds, each_ms = defaultdict(list), []
    for _ in range(chosen.rounds):
        measured, upload_ms = one_round(chosen.seconds)
        each_ms.append(upload_ms)
        for name, load in measured.items():
            rounds[name].append(load)
    p99 = {}
    print(f"{'':38} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for name, loads in rounds.items():
        rate, p50, p99[name] = (
            statistics.median(getattr(load, figure) for load in loads)
            for figure in ("rate", "p50_ms", "p99_ms")
        )
        print(f"{name:38} {rate:10,.0f} {p50:8.2f} {p99[name]:8.2f}")
    for name in ("16 connections", "one connection"):
        ratio = p99[f"heart beside pictures, {name}"] / p99[f"heart alone, {name}"]
        print(f"heart's p99 beside saturated pictures : alone, {name} = {ratio:.1f} : 1")
    print(f"processor time of one upload: {statistics.median(each_ms):.2f} ms")


if __name__ == "__main__":
    main()
