"""Every benchmark, one after the other, and results.md from what they measured.

    python -m benchmarks [--quick]

Needs wrk, a quiet machine and about ten minutes, the first time more: peers are installed.
`--quick` is for CI: seconds, what runs in this environment only, no file written.
"""

import argparse
import subprocess
import sys

from benchmarks.load import require_wrk

EVERYTHING = ("single_row", "canvas", "gpu", "report")


def main() -> None:
    """Run them; the first that fails ends it."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    require_wrk()
    for name in ("single_row",) if quick else EVERYTHING:
        command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])]
        if code := subprocess.run(command, check=False).returncode:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
