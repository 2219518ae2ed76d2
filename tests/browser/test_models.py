"""Tests of the panel "Models": the overview, and a page for every model card."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.browser.conftest import MODELS, Scheme, Visit
from tests.browser.looks import check_accessibility, check_width, picture

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

NAMES = sorted(folder.name for folder in MODELS.iterdir() if folder.is_dir())


def card_of(name: str) -> dict[str, Any]:
    """Return the card that training wrote."""
    found: dict[str, Any] = json.loads((MODELS / name / "1" / "card.json").read_text())
    return found


def open_page(visit: Visit, name: str, **look: Any) -> "Page":
    """Open the page of a model and wait until all of it is shown."""
    page = visit(f"#models/{name}", **look)
    page.get_by_role("heading", name="Versions").wait_for()
    return page


def cells(page: "Page", caption: str) -> list[list[str]]:
    """Return the texts of a table's body."""
    found: list[list[str]] = page.locator(f"table:has(caption:text('{caption}')) tbody").evaluate(
        "body => [...body.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def rounded(written: list[list[str]]) -> list[Any]:
    """Return written figures as approximations that equal the values they were rounded from."""
    # Four digits: half of the last one, and a little more because 0.00535 is not exact in binary.
    return [[pytest.approx(float(cell), abs=5.1e-5) for cell in row] for row in written]


@pytest.mark.parametrize("name", NAMES)
def test_every_models_page_says_what_its_card_says(visit: Visit, name: str) -> None:
    """A page shows the card's metrics, curves, confusion, data, training, contract and hashes."""
    card, page = card_of(name), open_page(visit, name)
    text = page.inner_text("main")
    said = [card["intended_use"], card["limits"], card["licence"], card["contract_hash"]]
    said += [card["data"][key] for key in ("name", "home", "licence", "citation", "split")]
    said += [card["training"]["recipe"], card["training"]["device"], card["data"]["fingerprint"]]
    said += [f"{card['training']['parameters']:,}", f"{card['training']['seconds']:,.1f} s"]
    said += [f"{rows:,}" for rows in card["data"]["rows"].values()]
    said += [*card["files"], *card["files"].values()]
    said += [f"{library} {version}" for library, version in card["training"]["libraries"].items()]
    assert [words for words in said if words not in text] == []
    metrics = [row[1:2] for row in cells(page, "Metrics on the test part")]
    assert [[value] for value in card["metrics"].values()] == rounded(metrics)
    curves = card["curves"]
    assert [
        [int(count.replace(",", "")) for count in row[1 : 1 + len(curves["confusion"])]]
        for row in cells(page, "Truth by line, answer by column")
    ] == curves["confusion"]
    assert len(cells(page, "Calibration")) == len(curves["calibration"])
    losses = [row[1:2] for row in cells(page, "Loss by epoch")]
    assert [[value] for value in card["training"]["history"]["loss"]] == rounded(losses)
    features = card["contract"]["features"]
    if features:
        shown = cells(page, "Inputs of a row")
        assert [(row[0], row[2] == "yes") for row in shown] == [
            (feature["name"], feature["required"]) for feature in features
        ]
        assert curves["roc"] == rounded(cells(page, "ROC"))
        assert curves["precision_recall"] == rounded(cells(page, "Precision and recall"))


def test_a_curve_is_drawn_where_its_points_are(visit: Visit) -> None:
    """The ROC's line has the card's points, in the card's order, between its axes."""
    card, page = card_of("heart"), open_page(visit, "heart")
    figure = page.locator("figure", has=page.get_by_role("heading", name="ROC"))
    drawn = figure.locator("polyline").get_attribute("points")
    assert drawn is not None
    points = [tuple(map(float, point.split(","))) for point in drawn.split()]
    (left, bottom), (right, top) = points[0], points[-1]
    assert len(points) == len(card["curves"]["roc"])
    for (x, y), (across, up) in zip(points, card["curves"]["roc"], strict=True):
        # Coordinates are rounded to a hundredth of a unit of the picture.
        assert x == pytest.approx(left + across * (right - left), abs=0.02)
        assert y == pytest.approx(bottom + up * (top - bottom), abs=0.02)
    assert f"{card['metrics']['auc']:.4f}" in str(
        figure.get_by_role("img").get_attribute("aria-label")
    )


def test_other_thresholds_are_counted_from_the_scores(visit: Visit) -> None:
    """At the card's own threshold, the confusion matrix gives the same shares."""
    card, page = card_of("heart"), open_page(visit, "heart")
    [[kept, wrongly], [missed, found]] = card["curves"]["confusion"]
    (half,) = (row for row in cells(page, "were the answer yes") if row[0] == "0.50")
    rows = kept + wrongly + missed + found
    assert half[1:] == [
        f"{share:.3f}"
        for share in (
            (wrongly + found) / rows,
            found / (missed + found),
            kept / (kept + wrongly),
            found / (wrongly + found),
            (kept + found) / rows,
        )
    ]


def test_the_overview_leads_to_each_page_and_back(visit: Visit) -> None:
    """A model's name and the way back are links that the keyboard reaches."""
    page = visit("#models")
    names = page.locator(".list h2")
    names.first.wait_for()
    assert names.all_inner_texts() == NAMES
    page.get_by_role("link", name="heart-mlp16").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Heart disease: heart-mlp16").wait_for()
    assert page.title() == "heart-mlp16 · Models · Foretell"
    page.get_by_role("link", name="All models").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Models", exact=True).wait_for()


def test_the_card_can_be_kept(visit: Visit, playground: str) -> None:
    """The saved card is what the service answers."""
    page = open_page(visit, "digits")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download card.json").click()
    kept = json.loads(Path(saving.value.path()).read_text())
    assert kept == httpx.get(f"{playground}/v1/models/digits").json()["card"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nobody", "no model 'nobody'; there are: credit"),
        ("heart/7", "no model 'heart/7'; there are: heart/1"),
        ("<b>", "no model '<b>'"),
    ],
)
def test_an_unknown_model_says_so(visit: Visit, place: str, words: str) -> None:
    """The page of an unknown model lists the models that exist, and has a link back."""
    page = visit(f"#models/{place}")
    assert words in page.get_by_role("alert").inner_text()
    page.get_by_role("main").get_by_role("link", name="All models").click()
    page.get_by_role("link", name="heart-mlp16").wait_for()


def test_confidence_is_shown_where_a_card_has_it(visit: Visit) -> None:
    """A page shows coverage required and measured, the OOD rates and each field's range."""
    sets = {
        "coverage": 0.95, "threshold": 0.163, "calibrated_on": "the validation part",
        "calibrated_rows": 6000, "measured": 0.946, "measured_on": "the test part",
        "measured_rows": 6001, "non_singleton_share": 0.446,
    }  # fmt: skip
    seen = [{"name": "age", "low": 29, "high": 77, "codes": []}]
    ood = {
        "threshold": 0.57, "chosen_on": "validation pictures", "learned_from": "other pictures",
        "flagged": {"test part": 0.0138},
    }  # fmt: skip

    def answer(route: "Route") -> None:
        response = route.fetch()
        model = response.json()
        model["card"]["confidence"] = {
            "conformal": sets, "ood": ood, "training_ranges": seen,
        }  # fmt: skip
        route.fulfill(response=response, json=model)

    page = visit("#models")
    page.route("**/v1/models/heart", answer)
    page.get_by_role("link", name="heart", exact=True).click()
    page.get_by_role("heading", name="How far one answer is to be trusted").wait_for()
    section = page.get_by_role("region", name="How far one answer is to be trusted")
    for words in (
        "95.0 %",
        "94.6 % of 6,001: the test part",
        "0.163",
        "6,000 rows: the validation",
    ):
        assert words in section.inner_text()
    assert cells(page, "Called unlike what it learned from") == [["test part", "1.4 %"]]
    assert cells(page, "Inputs of a row")[0][3] == "29 to 77"
    check_accessibility(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["credit", "fashion"])
def test_pages_are_accessible(visit: Visit, name: str, width: int, scheme: Scheme) -> None:
    """Pages of tables and of pictures, with every table open, pass on a desktop and a phone."""
    page = open_page(visit, name, width=width, scheme=scheme)
    picture(page, f"model-{name}-{width}-{scheme}")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    check_accessibility(page)
    check_width(page)
