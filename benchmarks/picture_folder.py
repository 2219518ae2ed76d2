"""Pictures per second from a folder to a table, with one process and with one per core.

python benchmarks/picture_folder.py [--data ../shared/data] [--pictures 1000] [--rounds 2]
"""

import argparse
import tempfile
import time
from pathlib import Path

import pictures  # beside this file; makes `service` importable

from service.bulk.pictures.score import score_pictures
from service.settings.limits import available_cores
from service.settings.settings import Settings
from service.tasks.digits import TASK


def main() -> None:
    """Make a folder of `--pictures` files from the pictures of `drawn/`, score it and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=pictures.ROOT.parent / "shared/data")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    drawn = pictures.drawn(chosen.data)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made, "drawn")
        folder.mkdir()
        for i in range(chosen.pictures):
            sample = drawn[i % len(drawn)]
            (folder / f"{i:06}_{sample.name}").write_bytes(sample.encoded)
        for processes in [1, available_cores()] * chosen.rounds:
            start = time.perf_counter()
            score_pictures(
                TASK, folder, Path(made, "out.csv"), settings=Settings(), processes=processes
            )
            took = time.perf_counter() - start
            print(f"{processes} processes: {chosen.pictures / took:6.0f} pictures/s")


if __name__ == "__main__":
    main()
