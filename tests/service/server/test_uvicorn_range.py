"""The versions of uvicorn that Foretell admits have the members that it overrides."""

import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytest.importorskip("uvloop", reason="uvloop is not for this platform")

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server as UvicornServer

from service.server.fast_http import FastProtocol, SingleWriteCycle
from service.server.http_guards import GuardedProtocol
from service.server.uvicorn_server import Server

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

OVERRIDDEN = [
    (
        GuardedProtocol,
        HttpToolsProtocol,
        {
            "_should_upgrade",
            "connection_made",
            "data_received",
            "on_body",
            "on_headers_complete",
            "on_message_begin",
            "timeout_keep_alive_handler",
        },
    ),
    (
        FastProtocol,
        HttpToolsProtocol,
        {
            "_start_asgi_task",
            "_unset_keepalive_if_required",
            "connection_lost",
            "connection_made",
            "on_headers_complete",
            "on_response_complete",
            "timeout_keep_alive_handler",
        },
    ),
    (SingleWriteCycle, RequestResponseCycle, {"send"}),
    (
        Server,
        UvicornServer,
        {"__init__", "capture_signals", "handle_exit", "on_tick", "run", "shutdown", "startup"},
    ),
]


def declared() -> Requirement:
    """The requirement of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    (uvicorn,) = [requirement for requirement in found if requirement.name == "uvicorn"]
    return uvicorn


@pytest.mark.parametrize(("ours", "theirs", "names"), OVERRIDDEN)
def test_uvicorn_has_every_member_that_is_overridden(
    ours: type, theirs: type, names: set[str]
) -> None:
    """None that it has lost, which nobody would call; none that it has got since, by accident."""
    methods = {name for name, member in vars(ours).items() if inspect.isfunction(member)}
    assert methods.intersection(dir(theirs)) == names


def test_the_range_ends_at_a_version() -> None:
    """A later uvicorn may have changed what is overridden: it is admitted once tested."""
    operators = {each.operator for each in declared().specifier}
    assert operators == {">=", "<"}


def test_the_installed_uvicorn_is_one_that_is_declared() -> None:
    """So every run of these tests is of a version in the range."""
    assert version("uvicorn") in declared().specifier


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_the_locked_uvicorn_is_one_that_is_declared(lock: Path) -> None:
    """In every lock."""
    (locked,) = re.findall(r"^uvicorn==(\S+)", lock.read_text(), re.MULTILINE)
    assert locked in declared().specifier
