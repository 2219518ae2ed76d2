"""Fixtures for the server under test: the one at FORETELL_V2_URL, else one that is started here."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.conformance.protocol import Model, Server
from tests.requirements import cannot_run

URL, GRPC, MODELS = "FORETELL_V2_URL", "FORETELL_V2_GRPC", "FORETELL_V2_MODELS"


@dataclass(frozen=True)
class Addresses:
    """The addresses on which a server listens."""

    url: str
    grpc: str | None


@pytest.fixture(scope="session")
def addresses() -> Iterator[Addresses]:
    """Yield the addresses of the server that the environment names, or of one started here."""
    given = os.environ.get(URL)
    if given:
        yield Addresses(given.rstrip("/"), os.environ.get(GRPC))
        return
    from tests.service.server.test_serving import serving
    from tests.service.test_readme import ROOT

    with serving(ROOT / "models", FORETELL_GRPC_PORT="0") as running:
        yield Addresses(running.url, str(running.of("listening for gRPC")[0]["address"]))


@pytest.fixture(scope="session")
def url(addresses: Addresses) -> str:
    """Return the server's address for HTTP: scheme, host and port."""
    return addresses.url


@pytest.fixture(scope="session")
def grpc_address(addresses: Addresses) -> str:
    """Return the server's address for gRPC: host and port."""
    if addresses.grpc is None:
        pytest.skip(f"no gRPC of this server is named; set {GRPC}")
    return addresses.grpc


@pytest.fixture(scope="session")
def server(url: str) -> Iterator[Server]:
    """Yield the server by plain HTTP, with a time limit on every answer."""
    with httpx.Client(base_url=url, timeout=30) as http:
        yield Server(http)


@pytest.fixture(scope="session")
def models(server: Server) -> list[Model]:
    """Return the ready models, or those that FORETELL_V2_MODELS names, separated by commas."""
    given = os.environ.get(MODELS)
    names = given.split(",") if given else server.ready_models()
    found = [server.model(name) for name in names]
    usable = [model for model in found if model.usable]
    if not usable:
        cannot_run(f"no model with inputs of numbers is ready; set {MODELS}")
    return usable


@pytest.fixture(scope="session")
def model(models: list[Model]) -> Model:
    """Return one model, for tests that do not depend on the model."""
    return models[0]


@pytest.fixture(scope="session")
def heart(server: Server) -> Model:
    """Return Foretell's model of heart disease, of which golden answers exist."""
    if "heart" not in server.ready_models():
        pytest.skip("this server has no model named heart")
    return server.model("heart")


@pytest.fixture(scope="session")
def binary(server: Server) -> None:
    """Skip unless the server says that it has the binary tensor data extension."""
    server.needs("binary_tensor_data")
