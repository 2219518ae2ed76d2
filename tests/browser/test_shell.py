"""The shell: navigation, its keyboard, how it looks."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Scheme, Visit
from tests.browser.looks import check_accessibility, check_width, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLACES = ["digits", "fashion", "credit", "heart", "rows", "models"]


def test_every_task_of_the_schema_has_its_panel(page: "Page") -> None:
    """Navigation is built from what the service says it offers; each link leads somewhere."""
    links = page.get_by_role("navigation", name="Panels").get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [f"#{p}" for p in PLACES]
    for link in links.all():
        link.click()
        title = link.inner_text()
        page.wait_for_function("title => document.title.startsWith(title)", arg=title)
        page.get_by_role("heading", level=1).wait_for()
        assert link.get_attribute("aria-current") == "page"


def test_an_unknown_place_says_so(visit: Visit) -> None:
    """A stale link leads to words, not to an empty page."""
    page = visit("#digits")
    page.evaluate("location.hash = 'nonsense'")
    page.get_by_text("There is nothing called nonsense here").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("place", PLACES)
def test_panels_as_opened_are_accessible(
    visit: Visit, place: str, width: int, scheme: Scheme
) -> None:
    """On a desktop and on a small phone, light and dark: no violation, no scrolling sideways."""
    page = visit(f"#{place}", width=width, scheme=scheme)
    page.wait_for_load_state("networkidle")
    check_accessibility(page)
    check_width(page)
    picture(page, f"{place}-{width}-{scheme}")
