import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.environments import Unavailable
from benchmarks.servers import family, running

SERVER = """
import subprocess, sys
from socketserver import BaseRequestHandler, TCPServer
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
TCPServer(("127.0.0.1", int(sys.argv[1])), BaseRequestHandler).serve_forever()
"""


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="families are read from /proc")
def test_a_server_is_waited_for_measured_and_stopped_with_all_it_started() -> None:
    """A running server has answered, its memory is counted, and its child ends with it."""
    with running([sys.executable, "-c", SERVER, "{port}"], connects) as server:
        assert connects(server.port)
        assert server.ready_seconds > 0
        assert (server.memory_mb() or 0) > 1
        processes = family(server.pid)
        assert len(processes) == 2
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in processes)


def test_a_server_that_ends_at_once_is_unavailable_for_the_reason_it_printed() -> None:
    """The reason in the error is the last line that the server printed, for the table."""
    command = [sys.executable, "-c", "import sys; sys.exit('no such model: {port}')"]
    with (
        pytest.raises(Unavailable, match="did not start: no such model"),
        running(command, connects),
    ):
        pytest.fail("it never ran")


def test_only_a_servers_own_descendants_are_found() -> None:
    """Another child of the same parent is not among the processes of a server."""
    wait = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(wait) as one, subprocess.Popen(wait) as other:
        assert family(one.pid) == [one.pid]
        one.kill()
        other.kill()
