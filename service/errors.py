"""The errors that Foretell raises on purpose; they know no HTTP (statuses: service/api/status.py).

ForetellError
├── RequestError                the caller's request cannot be answered
│   ├── InvalidPayload          fields are missing, unknown, of the wrong type or out of range
│   │   └── UnfitColumns        columns of a table are missing, unknown or not to be told apart
│   ├── InvalidRows             rows of a batch are wrong
│   ├── UnfitCoding             a table is written in another coding than the contract's
│   ├── UnreadableTable         a table is damaged, or not of the announced format
│   ├── NotAcceptable           the caller accepts none of the formats on offer
│   ├── UnreadableForm          a body is not multipart/form-data, or has too many parts
│   ├── UnreadableArchive       a zip file is damaged, is not one, or has too many files
│   ├── ArchiveTooLarge         a zip file would be too large unpacked
│   ├── UnsupportedMediaType    a content type or coding is not read by this route
│   ├── PayloadTooLarge         a body, or an answer on disk, is longer than its limit
│   ├── TableTooLarge           a table has more in it than is read, for its length or for memory
│   ├── PayloadStalled          the caller neither sent nor took anything for too long
│   ├── NotAllowed              an admin call came without the admin key
│   ├── Unsupported             a feature of a protocol is not offered
│   ├── UnknownService          a gRPC service does not exist here
│   └── PictureError            an uploaded picture cannot be answered
│       ├── UnreadableImage     the bytes are not a picture, or a damaged one
│       ├── ImageTooLarge       decoding the picture takes more than a limit allows
│       └── BlankImage          nothing is drawn on the picture
├── ModelError                  a model cannot be found, loaded or used
│   ├── UnknownModel            no such model or version exists
│   ├── ModelNotReady           a model exists but cannot answer now
│   ├── TooManyJobs             as many bulk jobs are running as are allowed at once
│   ├── ArtifactError           a version is damaged, or was trained for another contract
│   ├── AdminError              an admin call does not fit the models folder as it is
│   ├── DeviceUnavailable       the requested device does not work on this machine
│   ├── InvalidOutput           a model's output is not a probability
│   ├── NotExplainable          a version has no reference rows to compare with
│   ├── ExplanationQueueFull    too many explanations are waiting
│   └── QueueError              a call found no room, or no turn, in a queue
│       ├── QueueFull           too many rows are waiting for the model
│       ├── QueueTimeout        a call waited for the model for too long
│       └── DecodersBusy        too many pictures wait to be decoded, or one did for too long
├── ShuttingDown                the process ends, and begins no call any more
├── DecodersUnavailable         no decoder process for pictures can be started
├── UnwritableSpool             a batch cannot be kept on disk, which may be full
├── UnwritableTable             the file of answers cannot be written
├── RemoteError                 a service that was asked refuses, or cannot be reached
│   └── CutOff                  its answer ended before its end
└── SettingsError               a setting is unknown or has a bad value
"""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_MISTAKES = 10
"""Mistakes that the refusal of a table tells in words."""


@dataclass(frozen=True)
class FieldProblem:
    """A bad field: its path (such as `patient.age`), the expected value, and the one received."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.got}"


class ForetellError(Exception):
    """The root of every error that Foretell raises on purpose."""


class RequestError(ForetellError):
    """The caller's request cannot be answered."""


class InvalidPayload(RequestError):
    """The payload has `count` bad fields, of which `problems` are the first (by default all)."""

    def __init__(self, problems: Sequence[FieldProblem], count: int | None = None) -> None:
        self.problems, self.count = tuple(problems), count or len(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class UnfitColumns(InvalidPayload):
    """The columns of a table do not fit; `suggestions` are options that would settle it.

    `sentences` say it all to a person, `problems` column by column to a program.
    """

    def __init__(
        self,
        problems: Sequence[FieldProblem],
        sentences: Sequence[str],
        suggestions: Sequence[str] = (),
    ) -> None:
        super().__init__(problems)
        self.suggestions = tuple(suggestions)
        self.args = (" ".join(sentences),)


@dataclass(frozen=True)
class RowProblem(FieldProblem):
    """A bad field of a row; the first row of data is row 1."""

    row: int

    def __str__(self) -> str:
        return f"row {self.row}: {super().__str__()}"


@dataclass(frozen=True)
class RowMistake:
    """One mistake that `count` rows have in a field; `examples` are the first rows, with values."""

    field: str
    expected: str
    count: int
    examples: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        if self.count == 1:
            ((row, got),) = self.examples
            return f"row {row}: {self.field}: expected {self.expected}, got {got}"
        shown = ", ".join(f"{got} in row {row:,}" for row, got in self.examples)
        more = self.count - len(self.examples)
        return f"{self.field} in {self.count:,} rows: expected {self.expected}, got {shown}" + (
            f" and {more:,} more" if more else ""
        )


class InvalidRows(RequestError):
    """The rows of a batch have `count` bad fields, of which `problems` are the first.

    `mistakes` are the same put together, field by field.
    """

    def __init__(
        self, problems: Sequence[RowProblem], count: int, mistakes: Sequence[RowMistake]
    ) -> None:
        self.problems, self.count, self.mistakes = tuple(problems), count, tuple(mistakes)
        more = len(mistakes) - MOST_MISTAKES
        told = "; ".join(map(str, mistakes[:MOST_MISTAKES]))
        super().__init__(told + (f"; and {more} other mistakes" if more > 0 else ""))


class UnfitCoding(RequestError):
    """A table's codes are not the contract's; `suggestions` are options that would read them."""

    def __init__(self, reason: str, suggestions: Sequence[str]) -> None:
        self.suggestions = tuple(suggestions)
        super().__init__(reason)


class UnreadableTable(RequestError):
    """The body or file is damaged, or not of the announced format."""


class NotAcceptable(RequestError):
    """The caller accepts none of the formats on offer."""

    def __init__(self, got: str, offered: Sequence[str]) -> None:
        super().__init__(f"expected Accept to allow {' or '.join(offered)}, got {got!r}")


class UnreadableForm(RequestError):
    """The body is not the form announced by its content type, or has too many parts."""


class UnreadableArchive(RequestError):
    """The body or a part of it is not a zip file, is a damaged one, or holds too many files."""


class ArchiveTooLarge(RequestError):
    """The zip files would have `unpacked` bytes when unpacked, more than `limit` for a body."""

    def __init__(self, unpacked: int, limit: int) -> None:
        self.unpacked, self.limit = unpacked, limit
        super().__init__(
            f"the zip files have {unpacked:,} bytes unpacked,"
            f" more than the {limit:,} of FORETELL_MAX_BODY_BYTES"
        )


class UnsupportedMediaType(RequestError):
    """The body has a content type or coding that this route does not read."""

    def __init__(
        self, got: str | None, accepted: Sequence[str], header: str = "Content-Type"
    ) -> None:
        self.accepted = tuple(accepted)
        came = f"{got!r}" if got else f"no {header} header"
        super().__init__(f"expected {header} {' or '.join(accepted)}, got {came}")


class PayloadTooLarge(RequestError):
    """The body, or the part of an answer kept on disk, is longer than `limit` bytes."""

    def __init__(
        self, limit: int, setting: str = "FORETELL_MAX_BODY_BYTES", what: str = "the body is"
    ) -> None:
        self.limit = limit
        super().__init__(f"{what} larger than the {limit:,} bytes of {setting}")


class TableTooLarge(RequestError):
    """A table has more in it than is read; `what` says of which, `advice` what to do."""

    def __init__(self, what: str, expected: str, got: str, advice: str) -> None:
        self.facts = (what, expected, got, advice)
        super().__init__(f"{what}: expected {expected}, got {got}; {advice}")


class PayloadStalled(RequestError):
    """The caller neither sent nor took anything for `seconds`; `what` says which."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} for {seconds:g} s")


class NotAllowed(RequestError):
    """An admin call came without the admin key, or with another key."""

    def __init__(self, came: bool) -> None:
        super().__init__(
            "expected the header Authorization: Bearer <FORETELL_ADMIN_KEY of the service>, got "
            + ("another key" if came else "none")
        )


class Unsupported(RequestError):
    """The request asks for a feature of a protocol that this service does not offer."""


class UnknownService(RequestError):
    """The health of a gRPC service was requested that is not one of `known`."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no service {name!r:.80}; there are: {', '.join(map(repr, known))}")


class PictureError(RequestError):
    """An uploaded picture cannot be answered."""


class UnreadableImage(PictureError):
    """The bytes are not a picture, or a damaged one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ImageTooLarge(PictureError):
    """Decoding the picture takes more pixels, memory, scans or time than a limit allows."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class BlankImage(PictureError):
    """Nothing is drawn on the picture, so there is nothing to answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ModelError(ForetellError):
    """A model cannot be found, loaded or used."""


class UnknownModel(ModelError):
    """No model or version of this name exists, or none of this `task`."""

    def __init__(self, name: str, known: Sequence[str], task: str | None = None) -> None:
        wanted = f"no model {name!r}" + (f" of {task}" if task else "")
        super().__init__(f"{wanted}; there are: {', '.join(known) or 'none'}")


class ModelNotReady(ModelError):
    """The model exists but cannot answer; `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"model {name!r} is not ready: {reason}")


class TooManyJobs(ModelError):
    """No bulk job can start, because `limit` of them are running."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} batches are being scored, as many as FORETELL_MAX_BULK_JOBS allows in each "
            "process; try again later"
        )


class ArtifactError(ModelError):
    """A version on disk must not be served: it is damaged, or of another contract."""


class AdminError(ModelError):
    """An admin call cannot be carried out on the models folder as it is."""


class DeviceUnavailable(ModelError):
    """The requested device does not work on this machine."""


class InvalidOutput(ModelError):
    """A model's output is not a probability."""


class NotExplainable(ModelError):
    """The version has no reference rows that an explanation could compare with."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name}/{version} cannot be explained: it was exported without background.npz, which "
            "holds the reference rows to compare with; train it again"
        )


class ExplanationQueueFull(ModelError):
    """No explanation can be queued, because `limit` calls are waiting."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} calls for explanations are waiting, as many as each process allows; "
            "try again later"
        )


class QueueError(ModelError):
    """A call found no room, or no turn, in a queue; try again in `retry_seconds`."""

    def __init__(self, reason: str, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(reason)


class QueueFull(QueueError):
    """The call does not fit into the queue of the model, which holds `limit` rows at most."""

    def __init__(self, model: str, limit: int, retry_seconds: float) -> None:
        super().__init__(
            f"the queue of {model!r} is full: of the rows that wait in each process, "
            f"FORETELL_MAX_QUEUE_ROWS allows {limit:,}; try again later",
            retry_seconds,
        )


class QueueTimeout(QueueError):
    """The call waited for its turn for `seconds`, which is the limit."""

    def __init__(self, model: str, seconds: float, retry_seconds: float) -> None:
        super().__init__(
            f"the call waited {seconds:g} s for {model!r}, as long as "
            "FORETELL_QUEUE_TIMEOUT_SECONDS allows; try again later",
            retry_seconds,
        )


class DecodersBusy(QueueError):
    """No decoder process had a turn for a picture; `reason` names the limit."""

    def __init__(self, reason: str, retry_seconds: float) -> None:
        super().__init__(f"{reason}; try again later", retry_seconds)


class ShuttingDown(ForetellError):
    """The process ends; the call was not begun, and may be sent to another."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down, and did not begin this call; try again")


class DecodersUnavailable(ForetellError):
    """No decoder process for pictures is running, and none can be started."""


class UnwritableSpool(ForetellError):
    """A part of a batch, its body or its answers, cannot be kept on disk."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the part of the batch that is kept on disk cannot be written to the folder of "
            f"FORETELL_SPOOL_DIR: {reason}"
        )


class UnwritableTable(ForetellError):
    """The file of answers cannot be written."""


class RemoteError(ForetellError):
    """A service that was asked refuses, or cannot be reached."""


class CutOff(RemoteError):
    """The answer of a service ended before its end; `reason` is what its last line says."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the answer was cut off and nothing was written: {reason}")


class SettingsError(ForetellError):
    """A setting is unknown or has a bad value; the service does not start."""
