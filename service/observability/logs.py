"""Structured logs: one JSON object a line for machines, coloured lines for people."""

import logging
import os
import sys
from contextvars import ContextVar

import structlog
from structlog.typing import EventDict, Processor

from service.settings.settings import Settings

current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered, for the lines logged meanwhile."""


def add_request_id(_: object, __: str, event: EventDict) -> EventDict:
    """A processor; structlog's own bound variables cost ten times as much at each request."""
    if request_id := current_request_id.get():
        event["request_id"] = request_id
    return event


def add_pid(_: object, __: str, event: EventDict) -> EventDict:
    """A processor: which of several processes says so."""
    event["pid"] = os.getpid()
    return event


def configure_logs(settings: Settings) -> None:
    """Send this service's events and uvicorn's through one formatter to standard error."""
    # It is None in a process that was started with standard error closed.
    terminal = sys.stderr is not None and sys.stderr.isatty()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not terminal)
    shared: list[Processor] = [
        *([add_pid] if settings.workers > 1 else []),
        add_request_id,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # No local variables in tracebacks: they would hold patients' and clients' rows.
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
        # Filtered first: an event below the level costs next to nothing.
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
