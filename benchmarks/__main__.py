"""Run every benchmark, one after the other, and make results.md from their figures.

    python -m benchmarks [--quick]

Needs wrk, a quiet machine and about ten minutes, the first time more: peers are installed.
`--quick` is for CI: it takes seconds, runs no peer and writes no file.
"""

import argparse
import subprocess
import sys

from benchmarks.load import require_wrk

EVERYTHING = (
    ["single_row"],
    ["canvas"],
    ["printed", "bulk", "Whole tables", "--rows", "500000"],
    ["printed", "picture_uploads", "Pictures under load"],
    ["printed", "v2", "Open Inference Protocol"],
    ["printed", "batching", "Dynamic batching"],
    ["http_protocols"],
    ["gpu"],
    ["report"],
)
QUICK = (["single_row", "--quick"], ["bulk", "--quick"])


def main() -> None:
    """Run the benchmarks and stop at the first that fails, with its exit status."""
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
