"""Log lines: their form, that they wait for nobody, and what they do not say."""

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
import structlog

from service.api.app import create_app
from service.observability.log_writer import LINES_DROPPED, LogWriter
from service.observability.logs import (
    REQUESTS,
    Tracebacks,
    configure_logs,
    current_request_id,
    log_request_structured,
    logs,
)
from service.settings.settings import Settings
from tests.waiting import wait_until


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            try:
                os.close(end)
            except OSError:
                continue


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Callable[[], str]]]:
    """Return a function that configures logs and returns a function that reads what was logged."""
    root = logging.getLogger()
    before = root.handlers, root.level, structlog.get_config()
    monkeypatch.setattr(logs, "writer", None)
    monkeypatch.setattr(logs, "log_request", log_request_structured)
    with pipe() as (reading, writing), os.fdopen(writing, "w", closefd=False) as stream:

        def configure(**settings: Any) -> Callable[[], str]:
            monkeypatch.setattr("sys.stderr", stream)  # pytest sets its own for each phase
            configure_logs(Settings(**settings))

            def read() -> str:
                assert logs.writer is not None
                assert logs.writer.flush()
                return os.read(reading, 2**16).decode()

            return read

        yield configure
        root.handlers, root.level = before[:2]
        structlog.configure(**before[2])


def drain(reading: int) -> bytes:
    os.set_blocking(reading, False)
    content = b""
    try:
        while block := os.read(reading, 2**16):
            content += block
    except BlockingIOError:
        pass
    return content


@pytest.mark.parametrize("workers", [1, 2])
def test_the_quick_line_of_a_request_is_the_structured_one(
    logged: Callable[..., Callable[[], str]], workers: int
) -> None:
    """It has the same fields in the same order, whatever a caller puts into its path and id."""
    read = logged(log_format="json", workers=workers)
    path, request_id = '/v1/"quoted"\\\x1b[31m\u2028é', "id \u00e9"
    token = current_request_id.set(request_id)
    try:
        logs.log_request("POST", path, 200, 0.5, request_id)
        log_request_structured("POST", path, 200, 0.5, request_id)
    finally:
        current_request_id.reset(token)
    quick, structured = read().splitlines()
    stamp = re.compile(r'"timestamp": "(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z)"')
    assert stamp.sub("", quick) == stamp.sub("", structured)
    assert stamp.search(quick)
    assert json.loads(quick)["path"] == path
    assert logging.getLogger(REQUESTS).name == json.loads(quick)["logger"]


def test_a_line_waits_for_no_reader() -> None:
    """The writer drops and counts lines beyond the buffer; those within it come later."""
    with pipe() as (reading, writing):
        writer = LogWriter(writing, max_bytes=2**20)
        done = threading.Event()

        def log() -> None:
            for number in range(4000):
                writer.write(b"%05d %s\n" % (number, b"x" * 993))
            done.set()

        threading.Thread(target=log, daemon=True).start()
        assert done.wait(10)
        assert not writer.flush(0.2)
        dropped = writer.take_dropped()
        assert 2500 < dropped < 4000
        assert writer.take_dropped() == 0
        content = b""

        def read_all() -> bool:
            nonlocal content
            content += drain(reading)
            return writer.flush(0.01)

        wait_until(read_all)
        content += drain(reading)
    *lines, last = content.splitlines()
    assert [line[:5] for line in lines] == [b"%05d" % number for number in range(4000 - dropped)]
    assert json.loads(last)["lines"] == dropped
    assert json.loads(last)["event"] == "log lines dropped"


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    """Lines that cannot be written are counted as dropped, and the writer goes on."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = LogWriter(descriptor)
        writer.write(b"one\ntwo\n")
        wait_until(lambda: writer.take_dropped() == 2)
    finally:
        os.close(descriptor)


def test_an_error_is_logged_without_the_value_that_it_failed_on(
    logged: Callable[..., Callable[[], str]],
) -> None:
    """Its class and its frames stay; so does what the system says of a file."""
    log = structlog.get_logger("foretell")
    for log_format in ("json", "console"):
        read = logged(log_format=log_format)
        try:
            try:
                float("Jane Doe, HIV")
            except ValueError as error:
                error.add_note("Jane Doe")
                raise RuntimeError("row of Jane Doe") from error
        except RuntimeError:
            log.exception("request crashed")
        try:
            open("/no/such/file")  # noqa: PTH123, SIM115
        except OSError:
            log.exception("no file")
        text = read()
        assert "Jane" not in text
        assert {"ValueError", "RuntimeError", "test_logs.py"} <= set(
            re.findall(r"ValueError|RuntimeError|test_logs\.py", text)
        )
        assert "No such file or directory: '/no/such/file'" in text


def test_groups_of_errors_are_redacted_too() -> None:
    """An error inside a group is an error."""
    try:
        raise ExceptionGroup("of Jane", [ValueError("Jane Doe")])
    except ExceptionGroup as error:
        found = Tracebacks()((type(error), error, error.__traceback__))
        stream = StringIO()
        Tracebacks().write(stream, (type(error), error, error.__traceback__))
    assert "Jane" not in json.dumps(found)
    assert "Jane" not in stream.getvalue()


def test_a_terminal_obeys_no_caller(logged: Callable[..., Callable[[], str]]) -> None:
    """Escape sequences in a path arrive as text."""
    read = logged(log_format="console")
    logs.log_request("GET", "/\x1b[2J\x9b31m\r\nadmin logged in", 404, 0.1, "id")
    text = read()
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert {r"\x1b", r"\x9b", r"\x0d", r"\x0a"} == set(re.findall(r"\\x..", text))
    assert text.count("\n") == 1


def test_dropped_lines_are_in_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scrape, and each look at the models, adds those that were dropped since."""
    state = create_app(Settings()).state
    with pipe() as (_, writing):
        monkeypatch.setattr(logs, "writer", LogWriter(writing, max_bytes=0))
        for expected in (1.0, 2.0):
            assert logs.writer is not None
            logs.writer.write(b"a line\n")
            state.record_states()
            assert state.counters.total(LINES_DROPPED) == [expected]
