"""The headers that say what was made of a table's columns."""

from collections.abc import Iterable
from urllib.parse import quote

from service.bulk.tables.report import TableReport

MOST_LETTERS = 2_000
"""Letters of one header; proxies refuse heads of more than some thousand."""
PLAIN = " !#$&'()*+-./:;<>?@[]^_`{|}~"
"""Signs that a value may have; `,`, `=` and `%` are its own."""


def report_headers(report: TableReport) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer to a table; names of columns are percent-encoded.

    Fields recorded in no row are those of the rows read so far: of all, where the answer is held
    back or short.
    """
    facts = [
        ("x-coding", [report.coding] if report.coding else []),
        ("x-mapped-columns", [_pair(*each) for each in list(report.mapped.items())]),
        ("x-unread-columns", [quote(name, PLAIN) for name in list(report.unread)]),
        ("x-not-recorded", report.not_recorded),
        ("x-read-as", [_pair(*each) for each in list(report.read_as.items())]),
        ("x-notes", [quote(note, PLAIN) for note in list(report.notes)]),
    ]
    return [(name.encode(), _list(values)) for name, values in facts if values]


def _pair(name: str, value: str) -> str:
    return f"{quote(name, PLAIN)}={quote(value, PLAIN)}"


def _list(values: Iterable[str]) -> bytes:
    """Return a list with commas, cut between two values and with the number of the others."""
    listed = list(values)
    text = ", ".join(listed)
    while len(text) > MOST_LETTERS:
        listed = listed[: len(listed) // 2]
        text = ", ".join([*listed, "..."])
    return text.encode()
