"""Failures, latency and memory while a model is replaced again and again under constant load.

    python benchmarks/reloads.py [--reloads 200] [--rate 400] [--connections 8]

Each reload publishes a new version of heart by a rename, with the two committed networks in turn;
every tenth version is corrupt. Every answer is checked: its status is 200, and its probability is
that of the network of the version that it names. Client and service run on one machine, so only
the ratio of the times means anything. The exit status is 1 unless every limit is kept.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from service.contract.tabular import TabularTask
from service.models.artifacts.artifact import CARD, MODEL, read_artifact
from service.models.artifacts.card import Card
from service.models.versions.loader import ModelLoader
from service.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
HEART = TASKS["heart"]
NETWORKS = ("heart", "heart-mlp16")
ROW = {"age": 57, "sex": 1, "cp": 4}
CORRUPT_EVERY = 10
POLL_SECONDS = 0.1
QUIET_SECONDS = 0.25
# Calls due in these seconds from the start of a reload count as during it. The length is fixed: an
# interval that ended with the reload would be longer whenever the machine stalls, for any reason.
RELOAD_SECONDS = 0.1
SETTLED = 10  # reloads after which memory must not grow


@dataclass
class Seen:
    """The answers that the callers have received."""

    times: list[tuple[float, float]] = field(default_factory=list)
    """For each answer, when its call was due, in seconds of the clock, and how long it took."""
    failures: list[str] = field(default_factory=list)
    newest: int = 0


def prepare(folder: Path, reloads: int) -> None:
    """Write all versions that will be published, 1 to `reloads` + 1, including the corrupt ones."""
    cards = {name: read_artifact(ROOT / "models", name) for name in NETWORKS}
    for version in range(1, reloads + 2):
        source = cards[NETWORKS[version % 2]]
        made = folder / str(version)
        shutil.copytree(source.folder, made)
        facts = source.card.model_dump() | {"name": "heart", "version": str(version)}
        (made / CARD).write_text(Card.model_validate(facts).text())
        if corrupt(version):
            (made / MODEL).write_bytes((made / MODEL).read_bytes()[:-100])


def corrupt(version: int) -> bool:
    """Return true if a version is damaged on purpose."""
    return version > 1 and (version - 1) % CORRUPT_EVERY == 0


def expected(models_dir: Path) -> list[float]:
    """Return the probabilities of the row by even and by odd versions, computed without HTTP."""
    assert isinstance(HEART, TabularTask)
    batch = HEART.to_array([HEART.payload.model_validate(ROW)])
    loader = ModelLoader(models_dir, TASKS, "cpu")
    return [float(loader.load_version(n).session.run(batch)["probability"][0]) for n in NETWORKS]


async def call_steadily(
    port: int, seconds_between: float, until: asyncio.Event, answers: list[float], seen: Seen
) -> None:
    """Send the row at a steady pace on one connection; a late call counts from when it was due."""
    body = json.dumps(ROW).encode()
    head = b"POST /v1/heart/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n" % len(body) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = time.time()
    while not until.is_set():
        await asyncio.sleep(max(0.0, due - time.time()))
        writer.write(request)
        received = await reader.readuntil(b"\r\n\r\n")
        length = int(received.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        answer = json.loads(await reader.readexactly(length))
        seen.times.append((due, time.time() - due))
        if not received.startswith(b"HTTP/1.1 200"):
            seen.failures.append(str(answer))
        else:
            version = int(answer["model"]["version"])
            seen.newest = max(seen.newest, version)
            if corrupt(version) or abs(answer["probability"] - answers[version % 2]) > 1e-6:
                seen.failures.append(f"half-loaded: {answer}")
        due = max(due + seconds_between, time.time() - 1)
    writer.close()


def memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def reload_again_and_again(
    ready: Path, served: Path, log: Path, process: subprocess.Popen[bytes], seen: Seen, reloads: int
) -> list[float]:
    """Publish one version after the other, and return the resident MB after each."""
    resident = []
    for version in range(2, reloads + 2):
        await asyncio.sleep(QUIET_SECONDS)
        logged = log.stat().st_size
        (ready / str(version)).rename(served / str(version))
        deadline = time.monotonic() + 20
        while seen.newest < version and not (
            corrupt(version) and b"model refused" in log.read_bytes()[logged:]
        ):
            if time.monotonic() > deadline:
                raise SystemExit(f"version {version} was not taken up")
            await asyncio.sleep(0.02)
        await asyncio.sleep(QUIET_SECONDS)
        for old in served.iterdir():
            # The version that answers, which is the last good one, is kept.
            if old.name.isdigit() and int(old.name) < min(seen.newest, version - 1):
                shutil.rmtree(old)
        resident.append(memory(process.pid))
    return resident


def loading_times(log: Path) -> list[tuple[float, float]]:
    """Return when the loading of each good version began, by the clock, and its seconds."""
    found = []
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "model loaded" and event["version"] != "1":
            end = datetime.fromisoformat(event["timestamp"]).timestamp()
            found.append((end - event["load_ms"] / 1000, event["load_ms"] / 1000))
    return found


def report(seen: Seen, resident: list[float], loads: list[tuple[float, float]]) -> bool:
    """Print the figures, and return true if every limit is kept."""
    times = np.array(sorted(seen.times))
    starts, took = np.array(sorted(loads)).T
    ends = starts + RELOAD_SECONDS
    place = np.clip(np.searchsorted(ends, times[:, 0]), 0, len(ends) - 1)
    during = (times[:, 0] >= starts[place]) & (times[:, 0] <= ends[place])
    quiet, busy = times[~during, 1] * 1000, times[during, 1] * 1000
    print(f"answers          {len(times):,}; {during.sum():,} of them within {RELOAD_SECONDS:g} s")
    print(f"loading          {np.median(took) * 1000:.1f} ms, at most {took.max() * 1000:.1f} ms")
    print(f"failed or wrong  {len(seen.failures)}", *seen.failures[:3], sep="\n  ")
    for name, part in (("without", quiet), ("during", busy)):
        p50, p99 = np.percentile(part, [50, 99])
        print(f"{name:<16} p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = np.percentile(busy, 99) / np.percentile(quiet, 99)
    print(f"p99 during : p99 without = {ratio:.2f}   (limit: 2)")
    settled = np.array(resident[SETTLED:])
    change = 100 * (settled / resident[SETTLED - 1] - 1)
    print(
        f"resident memory  {resident[SETTLED - 1]:.1f} MB after {SETTLED} reloads, "
        f"{settled[-1]:.1f} MB at the end; {change.min():+.1f} to {change.max():+.1f} %  (limit: 5)"
    )
    return not seen.failures and ratio <= 2 and float(np.abs(change).max()) <= 5


async def run(arguments: argparse.Namespace, folder: Path) -> bool:
    """Start the service, the load and the reloads, and report."""
    models_dir, ready, log = folder / "models", folder / "ready", folder / "log"
    shutil.copytree(ROOT / "models", models_dir)
    shutil.rmtree(models_dir / "heart")
    prepare(ready, arguments.reloads)
    (models_dir / "heart").mkdir()
    (ready / "1").rename(models_dir / "heart" / "1")
    environment = os.environ | {
        "FORETELL_MODELS_DIR": str(models_dir),
        "FORETELL_DEVICE": "cpu",
        "FORETELL_LOG_FORMAT": "json",
        "FORETELL_POLL_SECONDS": str(POLL_SECONDS),
    }
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stderr)
    try:
        port = await started(log, process)
        seen, until = Seen(), asyncio.Event()
        answers = expected(ROOT / "models")
        pace = arguments.connections / arguments.rate
        callers = [
            asyncio.create_task(call_steadily(port, pace, until, answers, seen))
            for _ in range(arguments.connections)
        ]
        resident = await reload_again_and_again(
            ready, models_dir / "heart", log, process, seen, arguments.reloads
        )
        until.set()
        await asyncio.gather(*callers)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    return report(seen, resident, loading_times(log))


async def started(log: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port once every model is loaded. Raises SystemExit after 60 seconds."""
    deadline = time.monotonic() + 60
    names = len(list((ROOT / "models").iterdir()))
    while process.poll() is None and time.monotonic() < deadline:
        events = [json.loads(line) for line in log.read_text().splitlines()]
        if sum(event["event"] == "model loaded" for event in events) == names:
            (url,) = (event["url"] for event in events if event["event"] == "listening")
            return int(url.rpartition(":")[2])
        await asyncio.sleep(0.1)
    raise SystemExit(f"the service did not start: {log.read_text()[-2000:]}")


def main() -> int:
    """Run the benchmark and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument(
        "--rate", type=float, default=400, help="calls per second over all connections"
    )
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.reloads <= SETTLED:
        parser.error(f"--reloads: expected more than {SETTLED}")
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(run(arguments, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
