"""Tests of the playground's shell: navigation, keyboard, looks."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Scheme, Visit
from tests.browser.looks import check_accessibility, check_width, picture
from tests.browser.strokes import SEVEN, draw

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLACES = ["digits", "fashion", "credit", "heart", "rows", "models"]


def test_every_task_of_the_schema_has_its_panel(page: "Page") -> None:
    """Navigation is built from the service's schema, and each link leads to a panel."""
    links = page.get_by_role("navigation", name="Panels").get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [f"#{p}" for p in PLACES]
    for link in links.all():
        link.click()
        title = link.inner_text()
        page.wait_for_function("title => document.title.startsWith(title)", arg=title)
        page.get_by_role("heading", level=1).wait_for()
        assert link.get_attribute("aria-current") == "page"


def test_under_a_root_path(page: "Page", playground: str) -> None:
    """Behind a proxy that strips a prefix, every file and call is requested under the prefix."""
    page.route(
        "**/foretell/**",
        lambda route: route.fulfill(
            response=route.fetch(url=route.request.url.replace("/foretell/", "/"))
        ),
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{playground}/foretell/#digits")
    page.locator("canvas.sheet").wait_for()
    draw(page, SEVEN)
    page.locator(".headline strong").get_by_text("7").wait_for()
    assert f"{playground}/foretell/v1/digits/predict" in asked
    assert all(url.startswith(f"{playground}/foretell/") for url in asked)


def test_the_skip_link_leads_to_the_panel(page: "Page") -> None:
    """A keyboard user can skip the navigation and stays in the same panel."""
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "panel"
    page.get_by_role("heading", name="Handwritten digits").wait_for()


def test_an_unknown_place_says_so(visit: Visit) -> None:
    """A stale link leads to a message, not to an empty page."""
    page = visit("#digits")
    page.evaluate("location.hash = 'nonsense'")
    page.get_by_text("There is nothing called nonsense here").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("place", PLACES)
def test_panels_as_opened_are_accessible(
    visit: Visit, place: str, width: int, scheme: Scheme
) -> None:
    """Every panel passes on a desktop and a small phone, light and dark, without scrolling."""
    page = visit(f"#{place}", width=width, scheme=scheme)
    page.wait_for_load_state("networkidle")
    check_accessibility(page)
    check_width(page)
    picture(page, f"{place}-{width}-{scheme}")
