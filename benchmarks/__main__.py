"""Every benchmark, one after the other, and results.md from what they measured.

    python -m benchmarks [--quick]

Needs wrk, a quiet machine and about ten minutes, the first time more: peers are installed.
`--quick` is for CI: seconds, what runs in this environment only, no file written.
"""

import argparse
import subprocess
import sys

from benchmarks.load import require_wrk

EVERYTHING = (
    ["single_row"],
    ["canvas"],
    ["printed", "portfolio", "Whole portfolios", "--rows", "500000"],
    ["printed", "picture_uploads", "Pictures under load"],
    ["printed", "v2", "Open Inference Protocol"],
    ["printed", "batching", "Callers that share runs"],
    ["http_protocols"],
    ["gpu"],
    ["report"],
)
QUICK = (["single_row", "--quick"], ["http_protocols", "--quick"], ["portfolio", "--quick"])


def main() -> None:
    """Run them; the first that fails ends it."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    require_wrk()
    for name, *arguments in QUICK if quick else EVERYTHING:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        if code := subprocess.run(command, check=False).returncode:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
