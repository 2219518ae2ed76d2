"""Fixtures for the playground in a real Chromium, on a `foretell serve` of the committed models."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.requirements import cannot_run
from tests.service.server.test_serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

CHROMIUM = Path(os.environ.get("CHROMIUM") or "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MODELS = Path(__file__).resolve().parents[2] / "models"
PATIENCE = 20_000
"""Milliseconds to wait for anything to appear: in CI, browser and service have two slow cores."""

Scheme = Literal["light", "dark"]
Visit = Callable[..., "Page"]


# Its scope is the package, not the session: while Playwright's synchronous API is started, an event
# loop counts as running in this thread, and tests elsewhere could not start their own.
@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Yield a headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        cannot_run(f"no Playwright: {error}")
    if not CHROMIUM.exists():
        cannot_run(f"no Chromium at {CHROMIUM}: apt-get install chromium, or set CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="package")
def playground() -> Iterator[str]:
    """Yield the address of a ready service."""
    with serving(MODELS) as service:
        yield service.url


@pytest.fixture
def visit(browser: "Browser", playground: str) -> Iterator[Visit]:
    """Yield a function that opens the playground: `visit("#digits", width=360, scheme="dark")`.

    The test fails if a page logs an error, does not catch one, violates its content security
    policy, or requests anything from another host than the service.
    """
    contexts = []
    wrong: list[str] = []

    def console(message: "ConsoleMessage") -> None:
        # Chromium reports every 4xx as an error, but a panel shows refused calls itself.
        refused = message.text.startswith("Failed to load resource: the server responded with a")
        if message.type == "error" and not (refused and "/v1/" in message.location["url"]):
            wrong.append(f"console: {message.text} ({message.location['url']})")

    def request(asked: "Request") -> None:
        if not asked.url.startswith((f"{playground}/", "blob:", "data:")):
            wrong.append(f"a call to elsewhere: {asked.url}")

    def opened(
        place: str = "", *, width: int = 1280, scheme: Scheme = "light", touch: bool = False
    ) -> "Page":
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            has_touch=touch,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", console)
        page.on("pageerror", lambda error: wrong.append(f"uncaught: {error}"))
        page.on("request", request)
        page.goto(f"{playground}/{place}")
        page.get_by_role("heading", level=1).wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(visit: Visit) -> "Page":
    """Return the playground on a desktop in light colours; `page.goto` or a link leads on."""
    return visit()
