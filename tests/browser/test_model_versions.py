"""Tests of the panel "Models" with several versions of a model and one that is not ready."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from service.tasks import TASKS
from tests.artifacts import graph_of, write_artifact
from tests.browser.conftest import Visit
from tests.browser.looks import check_accessibility
from tests.browser.test_models import cells
from tests.service.server.test_serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield a service with four versions of heart (not served, stable, canary, invalid).

    Its model fashion is unloaded.
    """
    folder = tmp_path_factory.mktemp("models")
    for task in TASKS.values():
        write_artifact(folder, task)
    for version in ("2", "3", "4"):
        graph = graph_of(TASKS["heart"], bias=float(version))
        write_artifact(folder, TASKS["heart"], version=version, graph=graph)
    (folder / "heart" / "4" / "model.onnx").write_bytes(b"damaged")
    labels = {"stable": "2", "canary": {"version": "3", "weight": 0.25}}
    (folder / "heart" / "labels.json").write_text(json.dumps(labels))
    (folder / "fashion" / "unloaded").touch()
    with serving(folder) as service:
        yield service.url


@pytest.fixture
def of_versions(visit: Visit) -> "Page":
    """Return the overview of that service."""
    page = visit("#models")
    page.locator(".list h2").first.wait_for()
    return page


def test_versions_are_shown_with_state_and_reason(of_versions: "Page") -> None:
    """Each version leads to its own page, with its card and the version that answers instead."""
    page = of_versions
    heart = page.locator(".card").filter(has=page.get_by_role("link", name="heart", exact=True))
    assert "stable → 2; canary → 3, 25 % of calls" in heart.inner_text()
    page.get_by_role("link", name="heart", exact=True).click()
    page.get_by_role("heading", name="Versions").wait_for()
    rows = cells(page, "Calls that name none get 2")
    assert [row[:3] for row in rows] == [
        ["1", "not_served", ""], ["2 (this page)", "ready", "stable"], ["3", "ready", "canary"],
        ["4", "invalid", ""],
    ]  # fmt: skip
    assert "sha256" in rows[3][3]
    for version in ("1", "3", "4"):
        page.get_by_role("link", name=version, exact=True).click()
        notice = page.get_by_text(f"This is version {version}. Calls that name none are answered")
        notice.wait_for()
        assert f"?version={version}" in page.get_by_label("The call as curl").inner_text()


def test_a_model_that_is_not_ready_says_why(of_versions: "Page") -> None:
    """The reason is in the overview and on its page, which has its versions but no card."""
    page = of_versions
    fashion = page.locator(".card").filter(has=page.get_by_role("link", name="fashion"))
    assert "not ready" in fashion.inner_text()
    assert "it was unloaded" in fashion.inner_text()
    check_accessibility(page)
    page.get_by_role("link", name="fashion").click()
    page.get_by_role("heading", name="Versions").wait_for()
    assert cells(page, "Calls that name none get none")[0][:2] == ["1", "not_served"]
    check_accessibility(page)
