"""The HTTP status and the gRPC status of every domain error, side by side."""

from typing import NamedTuple

from service import errors
from service.errors import ForetellError


class Status(NamedTuple):
    """The statuses of one error."""

    http: int
    grpc: str
    """A name of `grpc.StatusCode`: the library is an extra, and this table is not."""


STATUS: dict[type[ForetellError], Status] = {
    errors.UnreadableForm: Status(400, "INVALID_ARGUMENT"),
    errors.UnreadableArchive: Status(400, "INVALID_ARGUMENT"),
    errors.ArchiveTooLarge: Status(413, "RESOURCE_EXHAUSTED"),
    errors.InvalidPayload: Status(422, "INVALID_ARGUMENT"),
    errors.UnfitColumns: Status(422, "INVALID_ARGUMENT"),
    errors.InvalidRows: Status(422, "INVALID_ARGUMENT"),
    errors.UnfitCoding: Status(422, "INVALID_ARGUMENT"),
    errors.UnreadableTable: Status(422, "INVALID_ARGUMENT"),
    errors.NotAcceptable: Status(406, "INVALID_ARGUMENT"),
    errors.UnsupportedMediaType: Status(415, "INVALID_ARGUMENT"),
    errors.PayloadTooLarge: Status(413, "RESOURCE_EXHAUSTED"),
    errors.TableTooLarge: Status(413, "RESOURCE_EXHAUSTED"),
    errors.NotAllowed: Status(403, "PERMISSION_DENIED"),
    errors.Unsupported: Status(501, "UNIMPLEMENTED"),
    errors.UnknownService: Status(404, "NOT_FOUND"),
    errors.PayloadStalled: Status(408, "DEADLINE_EXCEEDED"),
    errors.UnreadableImage: Status(422, "INVALID_ARGUMENT"),
    errors.ImageTooLarge: Status(413, "RESOURCE_EXHAUSTED"),
    errors.BlankImage: Status(422, "INVALID_ARGUMENT"),
    errors.UnknownModel: Status(404, "NOT_FOUND"),
    errors.ModelNotReady: Status(503, "UNAVAILABLE"),
    errors.TooManyJobs: Status(503, "UNAVAILABLE"),
    errors.ArtifactError: Status(503, "UNAVAILABLE"),
    errors.AdminError: Status(409, "FAILED_PRECONDITION"),
    errors.DeviceUnavailable: Status(503, "UNAVAILABLE"),
    errors.InvalidOutput: Status(500, "INTERNAL"),
    errors.DecodersBusy: Status(503, "UNAVAILABLE"),
    errors.ShuttingDown: Status(503, "UNAVAILABLE"),
    errors.DecodersUnavailable: Status(503, "UNAVAILABLE"),
    errors.UnwritableSpool: Status(507, "RESOURCE_EXHAUSTED"),
    errors.UnwritableTable: Status(500, "INTERNAL"),
    errors.RemoteError: Status(502, "UNAVAILABLE"),
    errors.CutOff: Status(502, "UNAVAILABLE"),
    errors.NotExplainable: Status(409, "FAILED_PRECONDITION"),
    errors.ExplanationQueueFull: Status(503, "UNAVAILABLE"),
    errors.QueueFull: Status(503, "UNAVAILABLE"),
    errors.QueueTimeout: Status(503, "UNAVAILABLE"),
    errors.SettingsError: Status(500, "INTERNAL"),
}


def status_of(error: ForetellError) -> Status:
    """Return the statuses of a domain error."""
    return STATUS[type(error)]
