"""One table: the HTTP status and the gRPC status of every domain error."""

from service import errors
from service.errors import ForetellError

STATUS: dict[type[ForetellError], int] = {
    errors.UnreadableForm: 400,
    errors.UnreadableArchive: 400,
    errors.ArchiveTooLarge: 413,
    errors.InvalidPayload: 422,
    errors.InvalidRows: 422,
    errors.UnreadableTable: 422,
    errors.NotAcceptable: 406,
    errors.UnsupportedMediaType: 415,
    errors.PayloadTooLarge: 413,
    errors.NotAllowed: 403,
    errors.Unsupported: 501,
    errors.UnknownService: 404,
    errors.PayloadStalled: 408,
    errors.UnreadableImage: 422,
    errors.ImageTooLarge: 413,
    errors.BlankImage: 422,
    errors.UnknownModel: 404,
    errors.ModelNotReady: 503,
    errors.TooManyJobs: 503,
    errors.ArtifactError: 503,
    errors.AdminError: 409,
    errors.DeviceUnavailable: 503,
    errors.InvalidOutput: 500,
    errors.DecodersUnavailable: 503,
    errors.UnwritableSpool: 507,
    errors.UnwritableTable: 500,
    errors.NotExplainable: 409,
    errors.ExplanationQueueFull: 503,
    errors.QueueFull: 503,
    errors.QueueTimeout: 503,
    errors.SettingsError: 500,
}
