"""FORETELL_HTTP=fast beside uvicorn, and the switch interval of threads beside Python's own.

    python -m benchmarks.http_protocols [--quick] [--rounds 24] [--seconds 1] [--log-level info]

All services live at once; each round loads two of them one after the other by wrk, either first in
every other round, so that whatever else the machine does falls on both. A ratio is of one round.
`--quick` is one round and writes nothing. The default takes about three minutes.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from pydantic import BaseModel, ConfigDict

from benchmarks.contenders import FORETELL
from benchmarks.load import Load, drive, require_wrk
from benchmarks.result import Table, write_result
from benchmarks.rounds import answer, heart_row
from benchmarks.servers import running
from service.server.uvicorn_server import SWITCH_SECONDS
from training.markdown import markdown

PYTHONS_SWITCH_SECONDS = 0.005
CONNECTIONS = (1, 16)
BATCH_ROWS = 2000
BATCH = "/v1/heart/predict/batch", "application/x-ndjson"
SERVE = ["serve", "--port", "{port}", "--device", "cpu"]
FAST, PLAIN, SLOW_SWITCH = "fast", "uvicorn", "fast, 5 ms"
COMMANDS = {
    FAST: (["-m", "service.cli"], "fast"),
    PLAIN: (["-m", "service.cli"], "uvicorn"),
    SLOW_SWITCH: (["-m", "benchmarks.with_switch_interval", str(PYTHONS_SWITCH_SECONDS)], "fast"),
}
"""For each service, how Python starts it and its FORETELL_HTTP."""


class Pair(BaseModel):
    """Two services under the same load, one after the other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ours: Load
    other: Load

    @property
    def rate(self) -> float:
        """Requests per second, ours to the other's."""
        return self.ours.rate / self.other.rate

    @property
    def p99(self) -> float:
        """99th percentile of the time of an answer, ours to the other's."""
        return self.ours.p99_ms / self.other.p99_ms


Rounds = list[Pair]


def spread(ratios: Sequence[float]) -> list[str]:
    """Return the median of some ratios, their quartiles and their range, as cells of a table."""
    middle = statistics.median(ratios)
    low, high = middle, middle
    if len(ratios) > 1:
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return [f"{middle:.3f}", f"{low:.3f}..{high:.3f}", f"{min(ratios):.3f}..{max(ratios):.3f}"]


def turns(rounds: int, ours: Callable[[], Load], other: Callable[[], Load]) -> Rounds:
    """Load two services in every round, either first in every other."""
    found = []
    for number in range(rounds):
        if number % 2:
            second = other()
            found.append(Pair(ours=ours(), other=second))
        else:
            first = ours()
            found.append(Pair(ours=first, other=other()))
    return found


def summary(measured: dict[str, Rounds]) -> Table:
    """Tabulate the ratios: of rates (more is better) and of p99 (less is better)."""
    rows = []
    for load, rounds in measured.items():
        rates = [[pair.ours.rate for pair in rounds], [pair.other.rate for pair in rounds]]
        ours, other = (f"{statistics.median(each):,.0f}" for each in rates)
        rate = spread([pair.rate for pair in rounds])
        rows.append([load, ours, other, *rate, *spread([pair.p99 for pair in rounds])[:2]])
    head = ["load", "ours /s", "other /s", "ratio", "half of rounds", "all rounds"]
    return Table(head=[*head, "p99 ratio", "half of rounds"], rows=rows)


def measure(rounds: int, seconds: int, log_level: str) -> tuple[dict[str, Rounds], ...]:
    """Measure both comparisons, by load."""
    question = heart_row()
    body, kind = FORETELL.body(question.payload), question.content_type
    batch = (json.dumps(question.payload) + "\n").encode() * BATCH_ROWS

    def answers(port: int) -> bool:
        return answer(FORETELL, port, body, kind) is not None

    with ExitStack() as services:
        ports = {}
        for name, (start, http) in COMMANDS.items():
            variables = {
                "FORETELL_HTTP": http,
                "FORETELL_LOG_LEVEL": log_level,
                "FORETELL_IMAGE_DECODERS": "1",
                "FORETELL_POLL_SECONDS": "0",
            }
            command = [sys.executable, *start, *SERVE]
            server = services.enter_context(running(command, answers, variables=variables))
            ports[name] = server.port

        def row(name: str, connections: int) -> Load:
            url = f"http://127.0.0.1:{ports[name]}{FORETELL.path}"
            return drive(url, body, kind, connections=connections, seconds=seconds)

        def row_beside_batches(name: str, connections: int) -> Load:
            # Batches are read by a thread that computes in Python all the while.
            url = f"http://127.0.0.1:{ports[name]}{BATCH[0]}"
            with ThreadPoolExecutor(1) as pool:
                batches = pool.submit(
                    drive, url, batch, BATCH[1], connections=1, seconds=seconds + 1
                )
                load = row(name, connections)
                batches.result()
            return load

        for name in ports:
            row(name, max(CONNECTIONS))
        protocols = {
            f"connections: {n}": turns(rounds, lambda n=n: row(FAST, n), lambda n=n: row(PLAIN, n))  # type: ignore[misc]
            for n in CONNECTIONS
        }
        intervals = {
            f"connections: {n}, beside batches": turns(
                max(1, rounds // 3),
                lambda n=n: row_beside_batches(FAST, n),  # type: ignore[misc]
                lambda n=n: row_beside_batches(SLOW_SWITCH, n),  # type: ignore[misc]
            )
            for n in CONNECTIONS
        }
    return protocols, intervals


def main() -> None:
    """Measure, print, and write results/http_protocols.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of a second; for CI")
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seconds", type=int, default=1, help="of each load")
    parser.add_argument("--log-level", default="info", help="of the services (default: info)")
    chosen = parser.parse_args()
    if min(chosen.rounds, chosen.seconds) < 1:
        parser.error("--rounds and --seconds: expected at least 1")
    require_wrk()
    rounds, seconds = (1, 1) if chosen.quick else (chosen.rounds, chosen.seconds)
    protocols, intervals = measure(rounds, seconds, chosen.log_level)
    tables = [
        summary(protocols).model_copy(update={"title": "FORETELL_HTTP: fast to uvicorn"}),
        summary(intervals).model_copy(update={"title": f"Switch interval: {INTERVALS}"}),
    ]
    for table in tables:
        print(f"\n{table.title}\n\n{markdown(table.head, table.rows)}")
    if chosen.quick:
        return
    options = f"--rounds {rounds} --seconds {seconds} --log-level {chosen.log_level}"
    write_result(
        "http_protocols",
        title="HTTP protocols",
        command=f"python -m benchmarks.http_protocols {options}",
        notes=[NOTE.format(rounds=rounds, seconds=seconds, log_level=chosen.log_level)],
        tables=tables,
        raw={
            name: {load: [pair.model_dump() for pair in each] for load, each in measured.items()}
            for name, measured in (("protocols", protocols), ("switch_interval", intervals))
        },
    )


INTERVALS = f"{SWITCH_SECONDS * 1000:g} ms to {PYTHONS_SWITCH_SECONDS * 1000:g} ms"
NOTE = (
    "One row of the heart model, one worker, log level {log_level}, services that live all the "
    "while and are loaded by wrk one after the other for {seconds} s, {rounds} rounds (of the "
    "switch interval a third of them), first one of the two, then the other. A ratio is of two "
    "loads that follow one another; the table has the median over all rounds, the quartiles "
    "(half of rounds) and the range. Beside batches: one more connection posts batches of "
    f"{BATCH_ROWS:,} rows, which a thread reads in Python."
)

if __name__ == "__main__":
    main()
