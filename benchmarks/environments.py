"""A virtual environment for each peer, made from peers/NAME/requirements.txt when it is needed.

python -m benchmarks.environments    installs all ahead of a measurement: some minutes, 2 GB
"""

import json
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).with_name("peers")


class Unavailable(Exception):
    """A peer cannot be compared on this machine; the message says why."""


def interpreter(peer: str) -> Path:
    """Return the Python of a peer's environment, and make one that is missing or outdated.

    Raises Unavailable if its packages cannot be installed.
    """
    folder = PEERS / peer
    environment, wanted = folder / ".venv", (folder / "requirements.txt").read_text()
    python, complete = environment / "bin" / "python", environment / "complete.txt"
    if complete.exists() and complete.read_text() == wanted:
        return python
    print(f"Installing {peer} into benchmarks/peers/{peer}/.venv", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run = subprocess.run(
        [*pip, "--requirement", str(folder / "requirements.txt")],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if run.returncode:
        raise Unavailable(f"not installed: {run.stderr.strip().splitlines()[-1]}")
    complete.write_text(wanted)
    return python


def packages(python: Path | str) -> dict[str, str]:
    """Return the version of every package that an interpreter sees, by name."""
    script = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
    )
    run = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(run.stdout)
    return dict(sorted(versions.items()))


def main() -> None:
    """Install the environments of all peers."""
    for requirements in sorted(PEERS.glob("*/requirements.txt")):
        try:
            print(interpreter(requirements.parent.name))
        except Unavailable as reason:
            print(f"{requirements.parent.name}: {reason}")


if __name__ == "__main__":
    main()
