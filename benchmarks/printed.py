"""Keep the output of a benchmark that only prints, as a section of results.md.

    python -m benchmarks.printed NAME TITLE [ARGUMENT ...]

Runs `python -m benchmarks.NAME ARGUMENT ...` in this environment, shows what it prints and writes
it to results/NAME.json. One that takes too long for every `make bench` can be added by hand:

    python -m benchmarks.printed epochs "Training" digits --recipe cnn --target .99
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.result import write_result

HERE = Path(__file__).parent


def keep(name: str, title: str, arguments: list[str]) -> None:
    """Run a benchmark and write its output. Raises SystemExit if it fails."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"benchmarks.{name} failed with {process.returncode}; nothing is kept")
    shown = " ".join(["python -m", f"benchmarks.{name}", *arguments])
    write_result(name, title=title, command=shown, notes=[], tables=[], printed="".join(lines))


def main() -> None:
    """Run the benchmark named on the command line and keep its output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = sorted(file.stem for file in HERE.glob("*.py"))
    parser.add_argument("name", choices=known, metavar="NAME", help="a file in benchmarks/")
    parser.add_argument("title", metavar="TITLE")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    chosen = parser.parse_args()
    keep(chosen.name, chosen.title, chosen.arguments)


if __name__ == "__main__":
    main()
