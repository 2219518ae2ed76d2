"""Tests of the panels that the page makes of tasks that were added as files (`tests/new_tasks`)."""

import socket
from collections.abc import Iterator
from threading import Thread
from typing import TYPE_CHECKING

import pytest
import uvicorn

from service.api.app import create_app
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.browser.conftest import Visit
from tests.browser.strokes import SEVEN, draw
from tests.new_tasks import new_tasks
from tests.service.tasks.test_new_task import stay_graph
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield a service with the new tasks; in a thread, as a process would not know of them."""
    folder = tmp_path_factory.mktemp("models")
    with new_tasks(), socket.create_server(("127.0.0.1", 0)) as listener:
        write_artifact(folder, TASKS["signs"])
        write_artifact(folder, TASKS["stay"], graph=stay_graph())
        app = create_app(Settings(models_dir=folder, device="cpu"))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_a_number_has_a_panel(visit: Visit) -> None:
    """Its form is the contract's, its answer a number with a unit, and nothing explains it."""
    page: Page = visit("#stay")
    page.get_by_text("7.5 days").wait_for()
    assert page.get_by_role("heading", name="Why").count() == 0
    page.get_by_role("spinbutton", name="Age").fill("20")
    page.get_by_text("2.4 days").wait_for()


def test_pictures_of_another_size_have_a_panel(visit: Visit) -> None:
    """The picture that the network saw is drawn at the task's own size, 32x32."""
    page: Page = visit("#signs")
    draw(page, SEVEN)
    page.get_by_text("32 × 32 pixels, light on dark").wait_for()
    seen = page.get_by_role("img", name="The picture as the network saw it")
    assert seen.evaluate("canvas => [canvas.width, canvas.height]") == [32, 32]
