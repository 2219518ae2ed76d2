"""multipart/form-data (RFC 7578) out of a body in memory.

Starlette's own parser, the same library underneath, reads on the event loop and puts every file
larger than a megabyte on disk: twice to four times the time.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from service.errors import UnreadableForm

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_FIELDS = 1000  # beside files; each costs time to read


@dataclass
class Part:
    """One field of a form: a file if it came under a file name."""

    name: str = ""
    file: str | None = None
    content: bytes = b""


@dataclass
class _Reader:
    """The callbacks of the parser: each gets the body and a range in it."""

    max_files: int
    files: int = 0
    parts: list[Part] = field(default_factory=list)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.on_part_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_part_data": self.on_part_data,
            "on_part_end": self.on_part_end,
            "on_end": self.on_end,
        }

    def on_part_begin(self) -> None:
        self.headers, self.pieces = {}, []

    def on_header_field(self, body: bytes, start: int, end: int) -> None:
        self.name += body[start:end]

    def on_header_value(self, body: bytes, start: int, end: int) -> None:
        self.value += body[start:end]

    def on_header_end(self) -> None:
        self.headers[self.name.lower()] = self.value
        self.name = self.value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        if b"name" not in options:
            raise UnreadableForm('a part of the form has no Content-Disposition with a "name"')
        file = _text(options[b"filename"]) if b"filename" in options else None
        self.parts.append(Part(_text(options[b"name"]), file))
        self.files += file is not None
        if self.files > self.max_files:
            raise UnreadableForm(f"Too many files. Maximum number of files is {self.max_files}.")
        if len(self.parts) - self.files > MOST_FIELDS:
            raise UnreadableForm(f"Too many fields. Maximum number of fields is {MOST_FIELDS}.")

    def on_part_data(self, body: bytes, start: int, end: int) -> None:
        self.pieces.append(body[start:end])

    def on_part_end(self) -> None:
        self.parts[-1].content = b"".join(self.pieces)

    def on_end(self) -> None:
        self.ended = True


def parts_of(body: bytes, content_type: str, max_files: int) -> list[Part]:
    """Return the fields of a form in their order.

    Raises UnreadableForm: no boundary, not such a form, cut off, or more files than `max_files`.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise UnreadableForm("Missing boundary in multipart.")
    reader = _Reader(max_files)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise UnreadableForm(f"Invalid multipart data: {error}") from error
    if not reader.ended:
        raise UnreadableForm("the form is cut off: it has no closing boundary")
    return reader.parts


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
