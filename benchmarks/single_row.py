"""One heart row over HTTP: Foretell beside eight other ways to serve the same model.

    python -m benchmarks.single_row [--quick] [--only NAME ...] [--rounds 3] [--seconds 3]

Each round starts every server in turn, with no other running, waits for its first right answer,
warms it up, and loads it by wrk over 16 connections and over one; the table has the medians of the
rounds. `--quick` takes a few seconds and compares only the servers of this environment. With
`--quick` or `--only` no file is written.
"""

import argparse
from collections.abc import Sequence

from benchmarks.contenders import EVERYONE, OURS, Contender
from benchmarks.environments import packages
from benchmarks.result import Table, write_result
from benchmarks.rounds import MANY, Medians, compare, heart_row, medians
from training.markdown import markdown


def speed_table(figures: dict[str, Medians]) -> Table:
    """Return the table of figures, quickest server first."""
    ours = figures.get("Foretell", {}).get("rate")
    rows = [
        [
            name,
            f"{row['rate']:,.0f}",
            f"{row['rate_low']:,.0f}..{row['rate_high']:,.0f}",
            f"{ours / row['rate']:.2f}" if ours else "",
            *(f"{row[f'many_p{q}_ms']:.2f}" for q in (50, 90, 99)),
            *(f"{row[f'alone_p{q}_ms'] * 1000:,.0f}" for q in (50, 99)),
            f"{row['ready_seconds']:.1f}",
            f"{row['memory_mb']:,.0f}" if "memory_mb" in row else "",
        ]
        for name, row in sorted(figures.items(), key=lambda item: -item[1]["rate"])
    ]
    head = ["server", "requests/s", "in rounds", "Foretell : it", "p50 ms", "p90 ms", "p99 ms"]
    return Table(head=[*head, "alone p50 µs", "alone p99 µs", "ready s", "memory MB"], rows=rows)


def contender_table(
    entered: Sequence[Contender],
    versions: dict[str, dict[str, str]],
    missing: dict[str, str],
) -> Table:
    """Return the table of versions and configurations, with the reason of each missing server."""
    rows = []
    for contender in entered:
        if contender.name in missing:
            rows.append([contender.name, "", f"not measured: {missing[contender.name]}"])
        elif contender.name in versions:
            version = versions[contender.name].get(contender.package or "foretell", "")
            rows.append([contender.name, version, contender.note])
    return Table(title="Who, and how", head=["server", "version", "run as"], rows=rows)


def main() -> None:
    """Measure, print, and write results/single_row.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no peers, 1 round of 1 s; for CI")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    chosen = parser.parse_args()
    if unknown := set(chosen.only or ()) - set(NAMES):
        parser.error(f"expected {', '.join(NAMES)}, got {', '.join(sorted(unknown))}")
    if min(chosen.rounds, chosen.seconds) < 1:
        parser.error("--rounds and --seconds: expected at least 1")
    rounds, seconds = (1, 1) if chosen.quick else (chosen.rounds, chosen.seconds)
    entered: tuple[Contender, ...] = OURS if chosen.quick else EVERYONE
    if chosen.only:
        entered = tuple(each for each in EVERYONE if each.name in chosen.only)
    measured, missing = compare(entered, heart_row(), rounds, seconds)
    if broken := {each.name for each in OURS} & set(missing):
        raise SystemExit(f"nothing to compare with: {', '.join(sorted(broken))} failed")
    figures = {name: medians(each) for name, each in measured.items()}
    table = speed_table(figures)
    print(f"\n{markdown(table.head, table.rows)}")
    if chosen.quick or chosen.only:
        return
    versions = {each.name: packages(each.python()) for each in entered if each.name in measured}
    write_result(
        "single_row",
        title="One row",
        command=f"python -m benchmarks.single_row --rounds {rounds} --seconds {seconds}",
        notes=[NOTE.format(rounds=rounds, seconds=seconds, many=MANY)],
        tables=[table, contender_table(EVERYONE, versions, missing)],
        raw={
            "medians": figures,
            "rounds": {name: [one.model_dump() for one in each] for name, each in measured.items()},
            "packages": versions,
            "missing": missing,
        },
    )


NAMES = [contender.name for contender in EVERYONE]
NOTE = (
    "The heart model, the example of its documentation, one worker, HTTP/1.1 with connections kept "
    "open. Medians of {rounds} interleaved rounds; in each, every server is started with no other "
    "running, answers the right probability, is warmed up for a second, then loaded by wrk (one "
    "thread) for {seconds} s over {many} connections and {seconds} s over one (alone). Ready is "
    "the time from the start of the process to the first right answer; memory is that of all its "
    "processes after the load, shared pages counted once (PSS)."
)

if __name__ == "__main__":
    main()
