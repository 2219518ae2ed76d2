"""The outcome of a table in words, for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from service.contract.messages import listed
from service.contract.tables import plain

MOST_NAMED = 20
MOST_TRIES = 8


def tries(suggestions: Sequence[str]) -> str:
    """Return query parameters as options of the command line, the first ones of many."""
    options = []
    for text in suggestions[:MOST_TRIES]:
        name, _, value = text.partition("=")
        options.append(f"--{name} {quote(value)}")
    return " or ".join(options)


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def facts_in_words(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was made of a table's columns, then doubts; `facts` are those of TableReport."""
    mapped = facts.get("mapped_columns", {})
    read = [
        f"{column} as {name}" for column, name in mapped.items() if plain(column) != plain(name)
    ]
    if len(read) < len(mapped):
        columns = "column" if len(mapped) - len(read) == 1 else "columns"
        read.append(f"{len(mapped) - len(read)} {columns} in another spelling of the field's name")
    sentences = [
        ("read ", read),
        ("not read: ", facts.get("unread_columns", [])),
        ("recorded in no row: ", facts.get("not_recorded", [])),
        ("form: ", [f"{what} {how}" for what, how in facts.get("read_as", {}).items()]),
        ("coding ", [facts["coding"]] if facts.get("coding") else []),
    ]
    said = [start + listed(names, MOST_NAMED) for start, names in sentences if names]
    if said:
        yield "; ".join(said)
    for note in facts.get("notes", []):
        yield f"note: {note}"
    if escaped := facts.get("escaped_cells"):
        yield (
            f"note: {escaped:,} cells that spreadsheets would run as formulas have a ' in front; "
            "--formulas keep leaves them as they came"
        )


def evaluation_in_words(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of answers against the truth, a line each."""
    if error := figures.get("error"):
        yield f"no comparison with the truth: {error}"
        return
    cells = figures["confusion"]
    yield (
        f"against {figures['truth']} ({figures['meaning']}): {_rows(figures['rows'])}, "
        f"{figures['positives']:,} of them yes"
    )
    if figures["auc"] is None:
        yield "AUC cannot be told: every row has the same truth"
    else:
        yield f"AUC {figures['auc']:.4f}"
    if note := figures.get("note"):
        yield f"note: {note}"
    yield f"log-loss {figures['log_loss']:.4f}, Brier {figures['brier']:.4f}"
    yield (
        f"calibration: {figures['predicted_rate']:.1%} expected, {figures['observed_rate']:.1%} "
        f"observed; expected calibration error {figures['expected_calibration_error']:.4f}"
    )
    for each in figures["calibration"]:
        yield (
            f"  {each['from']:.1f} to {each['to']:.1f}: {_rows(each['rows'])}, "
            f"{each['predicted']:.1%} expected, {each['observed']:.1%} observed"
        )
    yield (
        f"at the threshold {figures['threshold']:g}: accuracy {figures['accuracy']:.4f}; "
        f"of the yes {cells['true_positive']:,} found, {cells['false_negative']:,} missed; "
        f"of the no {cells['true_negative']:,} left alone, {cells['false_positive']:,} alarmed"
    )
    without = figures["rows_without_truth"]
    if without or figures["rows_not_scored"]:
        yield (
            f"left out: {without:,} rows without a truth, {figures['rows_not_scored']:,} not scored"
        )
