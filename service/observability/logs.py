"""Structured logs: a JSON object a line, or coloured lines on a terminal.

Lines go through a `LogWriter`, so that nobody who logs waits for the log's reader. No line holds a
value of a caller's row: of an unexpected error it has the class and the frames, not the message.
"""

import atexit
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from json.encoder import encode_basestring_ascii as quote
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from service.observability.log_writer import LogWriter
from service.settings.settings import Settings

REQUESTS = "foretell.http"
"""The logger of the line that each request has."""
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that a terminal obeys."""
CARRIES_NO_ROW = (OSError, ImportError, MemoryError)
"""Errors whose messages are logged. Others' may hold what they failed on: `could not convert …`."""

current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that is being answered; None outside of one."""


def add_request_id(_: object, __: str, event: EventDict) -> EventDict:
    """Add `request_id` to an event, as a processor of structlog.

    structlog's bound context variables cost ten times as much for each request.
    """
    if request_id := current_request_id.get():
        event["request_id"] = request_id
    return event


def add_pid(_: object, __: str, event: EventDict) -> EventDict:
    """Add `pid` to an event, as a processor: the worker that logs it."""
    event["pid"] = os.getpid()
    return event


def escape_controls(_: object, __: str, event: EventDict) -> EventDict:
    r"""Write control characters as `\x1b`, as a processor: a caller's bytes move no cursor."""
    return {
        name: CONTROLS.sub(_escaped, value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def without_exceptions(_: object, __: str, event: EventDict) -> EventDict:
    """Keep the first line of asyncio's messages, as a processor: others quote the exception."""
    if event.get("logger") == "asyncio":
        event["event"] = str(event["event"]).partition("\n")[0]
    return event


class Tracebacks:
    """Exceptions as JSON holds them, without local variables and messages that hold a row."""

    def __init__(self) -> None:
        self._transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

    def __call__(self, exc_info: ExcInfo) -> list[dict[str, Any]]:
        """Return an exception and those that it was raised from."""
        found = self._transform(exc_info)
        error: BaseException | None = exc_info[1]
        known = {}
        while error is not None and id(error) not in known:
            known[id(error)] = error
            error = error.__cause__ or error.__context__
        texts = {str(one) for one in known.values() if _may_be_logged(one)}
        for one in found:
            self._redact(one, texts)
        return found

    def _redact(self, found: dict[str, Any], texts: set[str]) -> None:
        found["exc_notes"] = []
        if found["exc_value"] not in texts:
            found["exc_value"] = ""
        for inner in found.get("exceptions", ()):
            for one in inner:
                self._redact(one, texts)

    def write(self, stream: TextIO, exc_info: ExcInfo) -> None:
        """Write an exception as Python does, for the console."""
        for one in reversed(self(exc_info)):
            for frame in one["frames"]:
                place = f'File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
                stream.write(f"\n  {place}")
            value = CONTROLS.sub(_escaped, one["exc_value"])
            stream.write(f"\n{one['exc_type']}{': ' * bool(value)}{value}")


def _may_be_logged(error: BaseException) -> bool:
    # ONNX Runtime names shapes and operators, no values.
    return isinstance(error, CARRIES_NO_ROW) or type(error).__module__.startswith("onnxruntime")


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


class LogHandler(logging.Handler):
    """Formats records where they are logged, and leaves the writing to a `LogWriter`."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record over as one line."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self.writer.write(line.encode(errors="backslashreplace") + b"\n")


LogRequest = Callable[[str, str, int, float, str], None]
"""Logs a request: its method, path, status (0: not answered), milliseconds and id."""


def log_request_structured(method: str, path: str, status: int, ms: float, _: str) -> None:
    """Log a request as any other event."""
    structlog.get_logger(REQUESTS).info("request", method=method, path=path, status=status, ms=ms)


class Logs:
    """The log of this process, as `configure_logs` set it up."""

    def __init__(self) -> None:
        self.writer: LogWriter | None = None
        """None before that, and where standard error is closed."""
        self.log_request: LogRequest = log_request_structured

    def flush(self) -> None:
        """Write every line, for as long as a stop can wait: at most a second."""
        if self.writer:
            self.writer.flush()

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was last asked."""
        return self.writer.take_dropped() if self.writer else 0


logs = Logs()


def _request_lines(writer: LogWriter, settings: Settings) -> LogRequest:
    """Return a function that logs requests in the form that structlog gives them, and quicker.

    Through structlog's processors the line took as long as everything else of a request together
    (benchmarks/gains.md).
    """
    pid = f'"pid": {os.getpid()}, ' if settings.workers > 1 else ""
    second, text = 0, ""

    def log_request(method: str, path: str, status: int, ms: float, request_id: str) -> None:
        nonlocal second, text
        now = time.time()
        if second != (second := int(now)):
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        stamp = f"{text}.{int((now - second) * 1e6):06d}Z"
        writer.write(
            f'{{"method": {quote(method)}, "path": {quote(path)}, "status": {status}, "ms": {ms}, '
            f'"event": "request", {pid}"request_id": {quote(request_id)}, "logger": "{REQUESTS}", '
            f'"level": "info", "timestamp": "{stamp}"}}\n'.encode()
        )

    return log_request


def configure_logs(settings: Settings) -> None:
    """Write the events of the service and of uvicorn to standard error, in the settings' format."""
    # `sys.stderr` is None in a process that was started with standard error closed.
    terminal = sys.stderr is not None and sys.stderr.isatty()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not terminal)
    shared: list[Processor] = [
        *([add_pid] if settings.workers > 1 else []),
        add_request_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_exceptions,
    ]
    tracebacks = Tracebacks()
    ending: list[Processor] = (
        [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
        if as_json
        else [
            escape_controls,
            structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=tracebacks.write),
        ]
    )
    structlog.configure(
        # The filter comes first, so that an event below the level is not formatted.
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logs.writer = LogWriter(sys.stderr.fileno()) if sys.stderr is not None else None
    logs.log_request = log_request_structured
    handler: logging.Handler = logging.NullHandler()
    if logs.writer:
        handler = LogHandler(logs.writer)
        if as_json:
            logs.log_request = _request_lines(logs.writer, settings)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    atexit.register(logs.flush)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
