"""Hot reload as callers see it: a real server, calls under way, versions that come and go."""

import shutil
import threading
from pathlib import Path

import httpx

from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.models.test_versions import publish
from tests.service.server.test_serving import ROW, Service, serving
from tests.waiting import wait_until

RELOADS = 20
CORRUPT = range(5, RELOADS + 1, 5)


def versions_of_all_tasks(models_dir: Path) -> None:
    """A folder with a version of every task, so that the service gets ready."""
    for task in TASKS.values():
        if task.name != "heart":
            write_artifact(models_dir, task)
    publish(models_dir, "1")


def call_until(stop: threading.Event, service: Service, answers: list[httpx.Response]) -> None:
    """Call again and again; what came, in order."""
    with httpx.Client(base_url=service.url) as client:
        while not stop.is_set():
            answers.append(client.post("/v1/heart/predict", json=ROW))


def test_reloads_under_load_fail_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    """20 versions, every fifth corrupt: each answer is whole, and of a good version, ever newer.

    `benchmarks/reloads.py` does it 200 times, and measures.
    """
    versions_of_all_tasks(tmp_path)
    answers: list[httpx.Response] = []
    stop = threading.Event()
    with serving(tmp_path, FORETELL_POLL_SECONDS="0.05") as service:
        caller = threading.Thread(target=call_until, args=(stop, service, answers))
        caller.start()
        wait_until(lambda: bool(answers))
        for version in range(2, RELOADS + 1):
            refused = len(service.of("model invalid")) + 1
            publish(tmp_path, str(version), damaged=version in CORRUPT)
            if version in CORRUPT:
                wait_until(lambda n=refused: len(service.of("model invalid")) == n)  # type: ignore[misc]
            else:
                wait_until(lambda v=version: version_of(answers[-1]) == v)  # type: ignore[misc]
                for old in range(1, version):
                    shutil.rmtree(tmp_path / "heart" / str(old), ignore_errors=True)
        stop.set()
        caller.join(timeout=20)
        assert httpx.get(f"{service.url}/readyz").status_code == 200
    assert {answer.status_code for answer in answers} == {200}
    given = [version_of(answer) for answer in answers]
    assert given == sorted(given)
    assert not set(given) & set(CORRUPT)
    pairs = {(version_of(answer), answer.json()["probability"]) for answer in answers}
    assert len(pairs) == len(set(given)) == len({probability for _, probability in pairs})


def version_of(answer: httpx.Response) -> int:
    """The version that gave it."""
    return int(answer.json()["model"]["version"])


def test_a_new_version_that_is_refused_is_in_the_log_once(tmp_path: Path) -> None:
    """The line has its name, its number and the reason, however often the folder is polled."""
    versions_of_all_tasks(tmp_path)
    with serving(tmp_path, FORETELL_POLL_SECONDS="0.02") as service:
        publish(tmp_path, "2", damaged=True)
        wait_until(lambda: bool(service.of("model invalid")))
        publish(tmp_path, "3")
        wait_until(lambda: bool(service.of("version changed")))
        publish(tmp_path, "4")
        wait_until(lambda: len(service.of("version changed")) == 2)
        (refused,) = service.of("model invalid")
    assert (refused["model"], refused["version"]) == ("heart", "2")
    assert "sha256" in str(refused["reason"])


def test_without_polling_versions_are_taken_up_at_the_start_only(tmp_path: Path) -> None:
    """FORETELL_POLL_SECONDS=0."""
    versions_of_all_tasks(tmp_path)
    with serving(tmp_path, FORETELL_POLL_SECONDS="0") as service:
        publish(tmp_path, "2")
        answer = httpx.post(f"{service.url}/v1/heart/predict", json=ROW)
        assert version_of(answer) == 1
        assert not service.of("version changed")
