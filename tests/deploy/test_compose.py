"""The deployment by docker-compose: it is built, started, called and stopped as users do."""

import io
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageDraw

from service.tasks.credit import Client
from service.tasks.heart import Patient
from tests.requirements import cannot_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]
GRACE = 40  # seconds, stop_grace_period: after these Docker kills
MB = 1_000_000

HEART: dict[str, Any] = Patient.model_json_schema()["example"]
CREDIT: dict[str, Any] = Client.model_json_schema()["example"]


@dataclass(frozen=True)
class Deployment:
    """A compose project with names, a port and volumes of its own."""

    compose_command: tuple[str, ...]
    project: str
    port: int
    # Each request has its own connection, so that a stop has no idle connection to close.
    http: httpx.Client = field(
        default_factory=lambda: httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
    )

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command and return its result, also if it fails."""
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True
        )

    def compose(self, *arguments: str) -> str:
        """Run a compose command that must succeed, and return its output."""
        done = self.run(*self.compose_command, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def python(self, code: str) -> "subprocess.CompletedProcess[str]":
        """Run Python code inside the container of the service."""
        return self.run(*self.compose_command, "exec", "-T", "service", "python", "-c", code)

    def inspect(self, template: str) -> str:
        """Return a fact about the service's container, running or not, by a template."""
        name = f"label=com.docker.compose.project={self.project}"
        container = self.run("docker", "ps", "--all", "--quiet", "--filter", name).stdout.split()
        return self.run("docker", "inspect", "--format", template, *container).stdout.strip()

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Send a request with a JSON body."""
        url = f"http://127.0.0.1:{self.port}/v1/{path}/predict"
        return self.http.post(url, timeout=30, **body)

    def ready(self) -> bool:
        """Return true if /readyz answers 200. Raises httpx.TransportError without an answer."""
        return self.http.get(f"http://127.0.0.1:{self.port}/readyz", timeout=30).is_success

    @property
    def environment(self) -> dict[str, str]:
        """The variables of compose: the project, and a port that only this machine can reach."""
        port = f"127.0.0.1:{self.port}"
        return os.environ | {"COMPOSE_PROJECT_NAME": self.project, "FORETELL_PORT": port}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def project() -> Deployment:
    """Return a project of which nothing is built, run by `docker compose` or docker-compose."""
    if shutil.which("docker") is None:
        cannot_run("there is no docker command here")
    found = Deployment(("docker", "compose"), f"foretell-{uuid.uuid4().hex[:8]}", free_port())
    if found.run("docker", "compose", "version").returncode == 0:
        return found
    if shutil.which("docker-compose") is None:
        cannot_run("there is neither docker compose nor docker-compose here")
    return Deployment(("docker-compose",), found.project, found.port)


@pytest.fixture(scope="module")
def built(project: Deployment) -> Iterator[Deployment]:
    """Build the image of the service; remove containers, volumes and images afterwards."""
    if project.run("docker", "info").returncode != 0:
        cannot_run("no Docker engine answers `docker info`")
    try:
        project.compose("build", "service")
        yield project
    finally:
        project.compose("--profile", "training", "down", "--volumes", "--rmi", "local")
        project.http.close()


@pytest.fixture
def service(built: Deployment) -> Deployment:
    """Start the service and wait until the image's own health check passes."""
    built.compose("up", "--detach", "--no-build", "service")
    wait_until(lambda: built.inspect("{{.State.Health.Status}}") == "healthy", seconds=120)
    return built


def seven() -> bytes:
    """Return a PNG of a 7 as a person draws one, thick and black on white."""
    picture = Image.new("L", (300, 300), 255)
    ImageDraw.Draw(picture).line([(80, 60), (220, 60), (130, 250)], fill=0, width=24, joint="curve")
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()


def test_each_model_answers_through_the_published_port(service: Deployment) -> None:
    """The models in the image answer a patient, a client and a drawn digit."""
    heart = service.post("heart", json=HEART).json()
    assert 0 < heart["probability"] < 1
    assert heart["disease"] == (heart["probability"] >= heart["threshold"])
    credit = service.post("credit", json=CREDIT).json()
    assert credit["default"] == (credit["probability"] >= credit["threshold"])
    digit = service.post("digits", files={"file": ("seven.png", seven())}).json()
    assert digit["digit"] == 7
    assert digit["model"]["name"] == "digits"


def test_a_bad_row_is_a_problem_that_names_its_fields(service: Deployment) -> None:
    """A bad row gets a 422 of problem+json that names every bad field."""
    answer = service.post("heart", json=HEART | {"age": "old", "sex": 5})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["field"] for error in answer.json()["errors"]} == {"age", "sex"}


def test_the_image_holds_what_serving_needs_and_no_more(
    service: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image runs without root, TensorFlow and pip, writes to /tmp only, and is below 800 MB."""
    assert service.python("import os; assert os.getuid() == os.getgid() == 10001").returncode == 0
    for absent in ("tensorflow", "keras", "pip", "grpc_tools"):
        assert "ModuleNotFoundError" in service.python(f"import {absent}").stderr
    for folder in ("/models", "/opt/foretell", "/"):
        refused = service.python(f"open('{folder}/file', 'w')").stderr
        assert "Read-only file system" in refused
    image = service.inspect("{{.Image}}")
    size = int(service.run("docker", "inspect", "--format", "{{.Size}}", image).stdout)
    with capsys.disabled():
        print(f"\nservice image: {size / MB:.0f} MB")
    assert size < 800 * MB  # CUDA's libraries or TensorFlow would exceed it by themselves


def test_metrics_and_grpc_are_in_the_image(service: Deployment) -> None:
    """Metrics are at their path; gRPC starts once a port is set."""
    metrics = service.http.get(f"http://127.0.0.1:{service.port}/metrics", timeout=30)
    assert "\nforetell_ready 1.0\n" in metrics.text
    refused = "import socket; assert socket.socket().connect_ex(('127.0.0.1', 8001))"
    assert service.python(refused).returncode == 0
    listens = (
        "import asyncio, grpc\nfrom service.api.open_inference.grpc.definitions import methods\n"
    )
    listens += (
        "assert methods('grpc.health.v1.Health')\nimport service.api.open_inference.grpc.listener"
    )
    assert service.python(listens).stderr == ""


def test_stopping_fails_no_request(service: Deployment) -> None:
    """New requests are answered while it drains; one whose body is half sent is answered after."""
    body = json.dumps(HEART).encode()
    slow = HTTPConnection("127.0.0.1", service.port, timeout=60)
    with closing(slow), ThreadPoolExecutor(5) as pool:
        slow.putrequest("POST", "/v1/heart/predict")
        slow.putheader("Content-Type", "application/json")
        slow.putheader("Content-Length", str(len(body)))
        slow.endheaders(body[:10])

        began = time.monotonic()
        stopping = pool.submit(service.compose, "stop", "service")
        wait_until(lambda: not service.ready())
        statuses = pool.map(lambda _: ask_for_a_second(service), range(4))
        assert set().union(*statuses) == {200}
        wait_until(lambda: refuses(service))
        slow.send(body[10:])
        answer = slow.getresponse()
        assert answer.status == 200
        assert 0 < json.load(answer)["probability"] < 1
        stopping.result()
    assert time.monotonic() - began < GRACE
    # 128 + SIGTERM: the process ended by SIGTERM; Docker's SIGKILL would give 137.
    assert service.inspect("{{.State.ExitCode}}") == "143"


def ask_for_a_second(service: Deployment) -> set[int]:
    """Send requests for a third of FORETELL_DRAIN_SECONDS, and return their statuses."""
    end = time.monotonic() + 1
    statuses = set()
    while time.monotonic() < end:
        statuses.add(service.post("heart", json=HEART).status_code)
    return statuses


def refuses(service: Deployment) -> bool:
    """Return true once new connections are no longer served."""
    try:
        service.ready()
    except httpx.TransportError:
        return True
    return False


def test_a_stop_is_heard_while_it_starts(built: Deployment) -> None:
    """A SIGTERM that comes while Python still imports, without a handler, ends the service."""
    built.compose("up", "--detach", "--no-build", "--force-recreate", "service")
    began = time.monotonic()
    built.compose("stop", "service")
    assert time.monotonic() - began < GRACE / 2


def test_logs_are_json_and_quiet(service: Deployment) -> None:
    """Every line from the start to a clean stop is a JSON object, and none is above `info`."""
    service.compose("stop", "service")
    logs = service.run("docker", "logs", service.inspect("{{.Id}}"))
    events = [json.loads(line) for line in (logs.stdout + logs.stderr).splitlines()]
    assert {event["level"] for event in events} == {"info"}
    names = [event["event"] for event in events]
    assert "draining" in names
    assert names[-1].startswith("Finished server process")


def test_the_gpu_variant_asks_for_the_device(project: Deployment) -> None:
    """The two compose files together are valid, and build with the lock file of the GPU image."""
    files = ("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml")
    merged = project.compose(*files, "--profile", "training", "config")
    for part in ("driver: nvidia", "FORETELL_DEVICE: cuda", "service-cuda.txt", "training-gpu.txt"):
        assert part in merged


@pytest.mark.skipif(
    os.environ.get("TEST_TRAINING_IMAGE") != "1",
    reason="3 GB and some minutes to build: set TEST_TRAINING_IMAGE=1 to try the training image",
)
def test_training_adds_a_version_that_the_service_takes_up(service: Deployment) -> None:
    """Version 1 comes from the image; `training heart` adds version 2, served within 10 s."""
    assert service.post("heart", json=HEART).json()["model"]["version"] == "1"
    service.compose("--profile", "training", "build", "training")
    service.compose("run", "--rm", "training", "heart", "--smoke")
    wait_until(
        lambda: service.post("heart", json=HEART).json()["model"]["version"] == "2", seconds=10
    )
    assert service.ready()
