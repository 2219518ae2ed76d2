"""Structured logs: a JSON object a line, or coloured lines on a terminal."""

import logging
import os
import sys
from contextvars import ContextVar

import structlog
from structlog.typing import EventDict, Processor

from service.settings.settings import Settings

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
    ]
    # Tracebacks show no local variables: they would hold the rows of callers.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    ending: list[Processor] = (
        [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=terminal, exception_formatter=structlog.dev.plain_traceback
            )
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
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
