"""Everything that can go wrong, with no HTTP in it: `problems.py` holds the one table of statuses.

ForetellError
├── RequestError                what the caller sent cannot be answered
│   ├── InvalidPayload          fields missing, unknown, of the wrong type or out of range
│   ├── InvalidRows             a portfolio with rows that are wrong
│   ├── UnreadableTable         not in the format that was announced, or damaged
│   ├── NotAcceptable           no format that the caller takes
│   ├── UnreadableForm          not multipart/form-data, or too much of it
│   ├── UnreadableArchive       not a zip file, a damaged one, or one of too many files
│   ├── ArchiveTooLarge         a zip file that would be too large unpacked
│   ├── UnsupportedMediaType    a content type or coding this route does not read
│   ├── PayloadTooLarge         more bytes than the service takes in
│   ├── PayloadStalled          nothing came, or nothing was taken, for too long
│   ├── NotAllowed              an operator's call without the operator's key
│   ├── Unsupported             a feature of a protocol that this service does not offer
│   ├── UnknownService          no service of gRPC that this one has
│   └── PictureError
│       ├── UnreadableImage     not a picture, or a damaged one
│       ├── ImageTooLarge       more pixels than the service decodes
│       └── BlankImage          a picture with nothing drawn on it
├── ModelError
│   ├── UnknownModel            no such model or version
│   ├── ModelNotReady           known, but not (or not yet) able to answer
│   ├── TooManyJobs              as many portfolios are being scored as are allowed at once
│   ├── ArtifactError           a version that must not be served: damaged, or of another contract
│   ├── AdminError            an operator's call that the folder of models does not allow
│   ├── DeviceUnavailable       the device asked for does not work here
│   ├── InvalidOutput           the model answered something that is no probability
│   ├── NotExplainable          the version has no reference rows to compare with
│   ├── ExplanationQueueFull        too many explanations wait already
│   └── QueueError
│       ├── QueueFull           too many rows wait for the model already
│       └── QueueTimeout       the call's turn did not come in time
├── DecodersUnavailable                 no process that reads pictures can be started
├── UnwritableSpool             what has to be kept of a portfolio cannot be, on a full disk say
├── UnwritableTable             answers that cannot be put where they were asked for
└── SettingsError               the service is configured wrongly
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldProblem:
    """One bad field: where it is (`patient.age` style path), what was expected, what came."""

    field: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.got}"


class ForetellError(Exception):
    """The root of every error that Foretell raises on purpose."""


class RequestError(ForetellError):
    """What the caller sent cannot be answered."""


class InvalidPayload(RequestError):
    """Fields are wrong: `count` of them, of which `problems` are the first, by default all."""

    def __init__(self, problems: Sequence[FieldProblem], count: int | None = None) -> None:
        self.problems, self.count = tuple(problems), count or len(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class RowProblem(FieldProblem):
    """One bad field of one row; the first row of data is row 1."""

    row: int

    def __str__(self) -> str:
        return f"row {self.row}: {super().__str__()}"


class InvalidRows(RequestError):
    """Rows of a portfolio are wrong: `count` problems, of which `problems` are the first."""

    def __init__(self, problems: Sequence[RowProblem], count: int) -> None:
        self.problems, self.count = tuple(problems), count
        listed = "; ".join(str(problem) for problem in self.problems)
        more = f"{count} problems, the first {len(self.problems)}: "
        super().__init__(more + listed if count > len(self.problems) else listed)


class UnreadableTable(RequestError):
    """The body or file is not of the format that it is said to be."""


class NotAcceptable(RequestError):
    """The caller takes none of the formats there are."""

    def __init__(self, got: str, offered: Sequence[str]) -> None:
        super().__init__(f"expected Accept to allow {' or '.join(offered)}, got {got!r}")


class UnreadableForm(RequestError):
    """The body is not the form that its content type announces, or has too many parts."""


class UnreadableArchive(RequestError):
    """The body or a part of it is not a zip file, or holds too many files."""


class ArchiveTooLarge(RequestError):
    """A zip file's pictures would be longer, unpacked, than a body may be."""

    def __init__(self, unpacked: int, limit: int) -> None:
        self.unpacked, self.limit = unpacked, limit
        super().__init__(
            f"the zip files would have {unpacked:,} bytes unpacked,"
            f" the limit is the {limit:,} of FORETELL_MAX_BODY_BYTES"
        )


class UnsupportedMediaType(RequestError):
    """The body is of a content type, or packed in a way, that this route does not read."""

    def __init__(
        self, got: str | None, accepted: Sequence[str], header: str = "Content-Type"
    ) -> None:
        self.accepted = tuple(accepted)
        came = f"{got!r}" if got else f"no {header} header"
        super().__init__(f"expected {header} {' or '.join(accepted)}, got {came}")


class PayloadTooLarge(RequestError):
    """What came, or what would have to be kept of the answer, is longer than `limit` bytes."""

    def __init__(
        self, limit: int, setting: str = "FORETELL_MAX_BODY_BYTES", what: str = "the body is"
    ) -> None:
        self.limit = limit
        super().__init__(f"{what} larger than the {limit:,} bytes of {setting}")


class PayloadStalled(RequestError):
    """The caller neither sent nor took anything for `seconds`."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} for {seconds:g} s")


class NotAllowed(RequestError):
    """An operator's call without the key, or with another."""

    def __init__(self, came: bool) -> None:
        super().__init__(
            "expected the header Authorization: Bearer <FORETELL_ADMIN_KEY of the service>, got "
            + ("another key" if came else "none")
        )


class Unsupported(RequestError):
    """The request asks for a feature of a protocol that this service does not offer."""


class UnknownService(RequestError):
    """The health of something else was asked for; `known` can be."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no service {name!r:.80}; there are: {', '.join(map(repr, known))}")


class PictureError(RequestError):
    """An uploaded picture that no digit can be read from."""


class UnreadableImage(PictureError):
    """The bytes are not a picture, or a damaged one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ImageTooLarge(PictureError):
    """The picture announces more pixels than the service decodes."""

    def __init__(self, pixels: int, limit: int) -> None:
        self.pixels, self.limit = pixels, limit
        super().__init__(f"the picture has {pixels:,} pixels, the limit is {limit:,}")

    def __reduce__(self) -> tuple[type["ImageTooLarge"], tuple[int, int]]:
        # From the process that reads to the one that answers.
        return ImageTooLarge, (self.pixels, self.limit)


class BlankImage(PictureError):
    """There is nothing to see in the picture, so there is nothing to answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class ModelError(ForetellError):
    """A model cannot be found, loaded or trusted."""


class UnknownModel(ModelError):
    """No model or version of that name exists, or none of that `task`."""

    def __init__(self, name: str, known: Sequence[str], task: str | None = None) -> None:
        wanted = f"no model {name!r}" + (f" of {task}" if task else "")
        super().__init__(f"{wanted}; there are: {', '.join(known) or 'none'}")


class ModelNotReady(ModelError):
    """The model exists but cannot answer; `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"model {name!r} is not ready: {reason}")


class TooManyJobs(ModelError):
    """`limit` portfolios are being scored already."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} portfolios are being scored, as many as FORETELL_MAX_BULK_JOBS allows; "
            "try again later"
        )


class ArtifactError(ModelError):
    """A version on disk that must not be served."""


class AdminError(ModelError):
    """What an operator asks for cannot be done with the folder of models as it is."""


class DeviceUnavailable(ModelError):
    """The device that was asked for does not work on this machine."""


class InvalidOutput(ModelError):
    """The model answered something that is not a probability."""


class NotExplainable(ModelError):
    """The version carries no reference rows that an explanation could compare with."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"{name}/{version} cannot be explained: it was exported without background.npz, the "
            "reference rows to compare with; train it anew"
        )


class ExplanationQueueFull(ModelError):
    """As many explanations as may wait are waiting."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} calls for explanations are waiting already, the limit of each process"
        )


class QueueError(ModelError):
    """No run of the model had room for the call; `retry_seconds` from now it may have."""

    def __init__(self, reason: str, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(reason)


class QueueFull(QueueError):
    """As many rows as may wait are waiting."""

    def __init__(self, model: str, limit: int, retry_seconds: float) -> None:
        super().__init__(
            f"no room for the call: of the rows that wait for {model!r} in each process, "
            f"FORETELL_MAX_QUEUE_ROWS allows {limit:,}; try again later",
            retry_seconds,
        )


class QueueTimeout(QueueError):
    """The call waited for its turn for `seconds`, and no longer."""

    def __init__(self, model: str, seconds: float, retry_seconds: float) -> None:
        super().__init__(
            f"the call waited {seconds:g} s for {model!r}, as long as "
            "FORETELL_QUEUE_TIMEOUT_SECONDS allows; try again later",
            retry_seconds,
        )


class DecodersUnavailable(ForetellError):
    """There is no process that reads pictures, and none can be started."""


class UnwritableSpool(ForetellError):
    """What has to be kept of a portfolio cannot be."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"what has to be kept of the portfolio cannot be written to the folder of "
            f"FORETELL_SPOOL_DIR: {reason}"
        )


class UnwritableTable(ForetellError):
    """The file of answers cannot be written."""


class SettingsError(ForetellError):
    """The service is configured wrongly; it does not start."""
