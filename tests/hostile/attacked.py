"""A service under attack: its stalls, its memory, and its honest callers."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.waiting import wait_until

MOST_STALL_SECONDS = 0.5
MOST_GROWTH_BYTES = 300 * 2**20
PROBE_SECONDS = 0.05
MODELS = Path(__file__).resolve().parents[2] / "models"
ROW = {"age": 57, "sex": 1, "cp": 4}


@dataclass
class Attacked:
    """A running `foretell serve` with the settings that a user has by default."""

    process: "subprocess.Popen[bytes]"
    log: Path
    url: str = ""

    @property
    def port(self) -> int:
        """The port of HTTP."""
        return int(self.url.rsplit(":", 1)[1])

    def events(self) -> list[dict[str, object]]:
        """Return what was logged until now, without a line that is being written."""
        lines = self.log.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def of(self, event: str) -> list[dict[str, object]]:
        """Return the log lines of one kind."""
        return [found for found in self.events() if found.get("event") == event]

    def pids(self) -> list[int]:
        """Return the process and all below it."""
        found = [self.process.pid]
        for pid in found:
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
            except OSError:  # it has just ended
                continue
        return found

    def resident_bytes(self) -> int:
        """Return the memory of the process and of all below it, each counted whole."""
        total = 0
        for pid in self.pids():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            total += pages * os.sysconf("SC_PAGE_SIZE")
        return total


@contextmanager
def serving(models_dir: Path = MODELS, **settings: str) -> Iterator[Attacked]:
    """Start `foretell serve` on a free port and stop it, with all of its processes."""
    environment = os.environ | {
        "FORETELL_MODELS_DIR": str(models_dir),
        "FORETELL_DEVICE": "cpu",
        "FORETELL_LOG_FORMAT": "json",
        **settings,
    }
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", "--port", "0"],
                env=environment,
                stderr=stderr,
                start_new_session=True,
            )
        attacked = Attacked(process, log)
        try:
            wait_until(lambda: bool(attacked.of("listening")) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            attacked.url = str(attacked.of("listening")[0]["url"])
            wait_until(lambda: httpx.get(f"{attacked.url}/readyz").status_code == 200)
            yield attacked
        finally:
            for pid in reversed(attacked.pids()):  # workers lead sessions of their own
                kill(pid)
            process.wait()


def kill(pid: int) -> None:
    """Kill a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass
class Watch:
    """Measurements of one attack, taken while it runs."""

    before_bytes: int
    peak_bytes: int = 0
    stalls: dict[str, float] = field(default_factory=lambda: {"/livez": 0.0, "row": 0.0})
    """Longest answer of each probe, in seconds."""
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    """Probes that got no answer, or another than 200."""

    @property
    def growth_bytes(self) -> int:
        """Most memory above that of before."""
        return max(0, self.peak_bytes - self.before_bytes)

    def check(self) -> None:
        """Fail the test where the attack cost an honest caller, or the machine, too much."""
        assert not self.failures, self.failures[:5]
        assert self.answers
        assert self.growth_bytes <= MOST_GROWTH_BYTES, f"+{self.growth_bytes / 2**20:.0f} MiB"
        slowest = max(self.stalls.values())
        assert slowest <= MOST_STALL_SECONDS, self.stalls


@contextmanager
def watching(attacked: Attacked) -> Iterator[Watch]:
    """Probe /livez and an honest caller's row all the while, and read the memory."""
    watch = Watch(attacked.resident_bytes())
    done = threading.Event()

    def probe(name: str) -> None:
        with httpx.Client(base_url=attacked.url, timeout=30) as client:
            while not done.is_set():
                start = time.perf_counter()
                try:
                    if name == "row":
                        answer = client.post("/v1/heart/predict", json=ROW)
                    else:
                        answer = client.get(name)
                    if answer.status_code != 200:
                        watch.failures.append(f"{name}: {answer.status_code} {answer.text[:200]}")
                except httpx.HTTPError as error:
                    watch.failures.append(f"{name}: {type(error).__name__} {error}")
                seconds = time.perf_counter() - start
                watch.stalls[name] = max(watch.stalls[name], seconds)
                watch.answers += 1
                done.wait(PROBE_SECONDS)

    def measure() -> None:
        while not done.wait(0.02):
            watch.peak_bytes = max(watch.peak_bytes, attacked.resident_bytes())

    threads = [threading.Thread(target=probe, args=(name,)) for name in watch.stalls]
    threads.append(threading.Thread(target=measure))
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        done.set()
        for thread in threads:
            thread.join()
