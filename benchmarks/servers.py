"""A server under test: started, awaited, observed, and stopped by its own process id."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.environments import Unavailable

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120  # Ray needs most of a minute on two busy cores


@dataclass(frozen=True)
class Running:
    """A server that has been started and answers."""

    pid: int
    port: int
    ready_seconds: float
    """Seconds from the start of the process to the first right answer."""

    def memory_mb(self) -> float | None:
        """Return the MB of its processes, shared pages counted once (PSS); None except on Linux."""
        sizes = [_proportional_kb(pid) for pid in family(self.pid)]
        return sum(sizes) / 1000 if any(sizes) else None

    def processor_seconds(self) -> float:
        """Return the CPU seconds of all its processes up to now; 0 except on Linux."""
        return sum(_ticks(pid) for pid in family(self.pid)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    command: Sequence[str],
    answers: Callable[[int], bool],
    *,
    folder: Path = ROOT,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a command, in which `{port}` is a free port, until `answers(port)`; stop it at the end.

    Raises Unavailable, with the last line it printed, if it ends or does not answer in time.
    """
    port = free_port()
    filled = [part.replace("{port}", str(port)) for part in command]
    with tempfile.TemporaryFile("w+") as log:
        start = time.monotonic()
        process = subprocess.Popen(
            filled, cwd=folder, env={**os.environ, **(variables or {})}, stdout=log, stderr=log
        )
        try:
            while not answers(port):
                if process.poll() is not None or time.monotonic() - start > START_SECONDS:
                    raise Unavailable(f"did not start: {_last_line(log)}")
                time.sleep(0.02)
            yield Running(process.pid, port, time.monotonic() - start)
        finally:
            _stop(process)


def _last_line(log: IO[str]) -> str:
    """Print the end of a log, which names folders of this machine; return its last line only."""
    log.seek(0)
    lines = log.read().strip().splitlines()
    print("\n".join(lines[-20:]), file=sys.stderr, flush=True)
    return lines[-1].strip() if lines else "it printed nothing"


def free_port() -> int:
    """Return a TCP port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(pid: int) -> list[int]:
    """Return the ids of a process and its descendants, from /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has just ended
            # The name, in parentheses, may hold any character; state and parent follow it.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _proportional_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _ticks(pid: int) -> int:
    """Return the ticks of a process in user and kernel mode (proc_pid_stat(5), 14 and 15)."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, wait, then kill the process and any descendants that are left."""
    started = {pid: _born(pid) for pid in family(process.pid)}
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    for pid, born in started.items():
        # The id may belong to another process by now.
        if born and _born(pid) == born:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait(timeout=10)


def _born(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty if there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
