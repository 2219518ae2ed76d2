"""Tests of the panels for heart and credit: the form, its answer and its explanation."""

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from service.tasks import TASKS
from service.tasks.credit import Client
from service.tasks.heart import Patient
from tests.browser.conftest import Scheme, Visit
from tests.browser.looks import check_accessibility, check_width, picture

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

PATIENT = dict(Patient.model_json_schema()["example"])
CLIENT = dict(Client.model_json_schema()["example"])
ROUNDED = 0.05
"""Percentage points: the largest error of a figure with one decimal."""
SETTLED = """() => {
  const cards = [...document.querySelectorAll('.stated')];
  return cards.length === 3 && cards.every((card) => card.dataset.state === 'current');
}"""


def asked(playground: str, path: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return the API's answer to a row."""
    answer = httpx.post(f"{playground}/v1/{path}", json=row)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def shown(page: "Page") -> float:
    """Return the probability on the page, once answer and explanation are of the form's row."""
    page.wait_for_function(SETTLED)
    return float(page.locator(".answer .probability").get_attribute("value") or "nan")


def field(page: "Page", title: str) -> "Locator":
    """Return the input of a number."""
    return page.get_by_role("spinbutton", name=title, exact=True)


def type_into(page: "Page", title: str, text: str) -> None:
    """Replace the text of a field by keyboard."""
    field(page, title).click()
    page.keyboard.press("ControlOrMeta+a")
    if text:
        page.keyboard.type(text, delay=30)
    else:
        page.keyboard.press("Delete")


def figures(page: "Page") -> list[float]:
    """Return the waterfall's last column in percentage points: base, feature groups, answer."""
    cells = page.locator(".waterfall tbody tr:not(.part) td.number").all_inner_texts()
    return [float(text.replace("−", "-").removesuffix(" %")) for text in cells]


@pytest.mark.parametrize(("task", "row"), [("heart", PATIENT), ("credit", CLIENT)])
def test_the_form_is_filled_with_the_example_and_answered(
    visit: Visit, playground: str, task: str, row: dict[str, Any]
) -> None:
    """Each field has title, unit and bounds; the answer is the API's, also in words."""
    page = visit(f"#{task}")
    probability = asked(playground, f"{task}/predict", row)["probability"]
    assert shown(page) == probability
    assert page.locator(".answer .probability").inner_text() == f"{100 * probability:.1f} %"
    assert page.locator(".answer").get_attribute("data-decision") == "true"
    form = page.get_by_role("form", name="Row")
    for name, declared in TASKS[task].payload.model_fields.items():  # type: ignore[attr-defined]
        control = form.locator(f"[name^='{name}']").first
        assert control.count() == 1, name
        assert form.get_by_label(str(declared.description)).count() >= 1, name
    hint = page.get_by_text("18 to 120 years")
    described = field(page, "Age").get_attribute("aria-describedby") or ""
    assert hint.get_attribute("id") in described.split()
    page.get_by_text("Teaching and research").wait_for()  # the card's intended use


def test_a_value_typed_changes_the_answer(visit: Visit, playground: str) -> None:
    """A value typed is sent as it is and answered without a button."""
    page = visit("#heart")
    before = shown(page)
    type_into(page, "ST depression induced by exercise, relative to rest", "2.35")
    after = shown(page)
    assert after == asked(playground, "heart/predict", PATIENT | {"oldpeak": 2.35})["probability"]
    assert after != before
    field(page, "Age").press("ArrowUp")
    row = PATIENT | {"oldpeak": 2.35, "age": 58}
    assert shown(page) == asked(playground, "heart/predict", row)["probability"]


def test_categories_are_chosen_in_words(visit: Visit, playground: str) -> None:
    """Categories are chosen from a list or side by side, and each code has its own words."""
    page = visit("#heart")
    page.get_by_role("combobox", name="Type of chest pain").select_option(label="typical angina")
    page.get_by_role("radiogroup", name="Sex").get_by_label("female").check()
    row = PATIENT | {"cp": 1, "sex": 0}
    assert shown(page) == asked(playground, "heart/predict", row)["probability"]
    page = visit("#credit")
    education = page.get_by_role("combobox", name="Education")
    texts = education.get_by_role("option").all_inner_texts()
    assert len(set(texts)) == len(texts)
    education.select_option(label="unknown (5)")
    page.get_by_role("combobox", name="Repayment status in July").select_option(
        label="two months late"
    )
    row = CLIENT | {"education": 5, "pay_3": 2}
    assert shown(page) == asked(playground, "credit/predict", row)["probability"]


def test_not_recorded_is_null(visit: Visit, playground: str) -> None:
    """An emptied number, a choice of "not recorded", and the button for all fields send null."""
    page = visit("#heart")
    type_into(page, "Serum cholesterol", "")
    page.get_by_role("combobox", name="Thallium scan").select_option(label="not recorded")
    page.get_by_role("radiogroup", name="Angina induced by exercise").get_by_label(
        "not recorded"
    ).check()
    row = PATIENT | {"chol": None, "thal": None, "exang": None}
    assert shown(page) == asked(playground, "heart/predict", row)["probability"]
    page.get_by_role("button", name="Clear what may be missing").click()
    assert shown(page) == asked(playground, "heart/predict", {"age": 57, "sex": 1})["probability"]
    page.get_by_role("button", name="Example").click()
    assert shown(page) == asked(playground, "heart/predict", PATIENT)["probability"]


@pytest.mark.parametrize("typed", ["500", "12o", "-1e400", "0x10", ""])
def test_the_services_message_stands_beside_its_field(
    visit: Visit, playground: str, typed: str
) -> None:
    """Any text typed is sent; its message stands at the field and no older answer is shown."""
    page = visit("#heart")
    shown(page)
    type_into(page, "Age", typed)
    age = field(page, "Age")
    page.wait_for_selector(".answer[data-state='outdated']")
    assert page.locator(".stated[data-state='current']").count() == 0
    assert "outdated" in page.locator(".answer").inner_text()
    sent: dict[str, Any] = {"age": 500 if typed == "500" else typed} if typed else {}
    row = {name: value for name, value in PATIENT.items() if name != "age"} | sent
    (error,) = httpx.post(f"{playground}/v1/heart/predict", json=row).json()["errors"]
    message = page.get_by_text(f"Expected {error['expected']}, got {error['got']}.")
    assert age.get_attribute("aria-invalid") == "true"
    beside = message.locator("xpath=..").get_attribute("id")
    assert beside in (age.get_attribute("aria-describedby") or "").split()
    age.blur()
    page.get_by_role("button", name="Age", exact=True).click()  # the summary leads to the field
    assert age.evaluate("element => element === document.activeElement")
    type_into(page, "Age", "57")
    assert shown(page) == asked(playground, "heart/predict", PATIENT)["probability"]
    assert age.get_attribute("aria-invalid") is None
    assert message.count() == 0


@pytest.mark.parametrize(("task", "row"), [("heart", PATIENT), ("credit", CLIENT)])
def test_the_waterfall_adds_up(
    visit: Visit, playground: str, task: str, row: dict[str, Any]
) -> None:
    """Base and contributions as shown add up to the answer, and are those of /explain."""
    page = visit(f"#{task}")
    probability = shown(page)
    base, *steps, answer = figures(page)
    # Each figure is rounded by itself.
    assert base + sum(steps) == pytest.approx(answer, abs=ROUNDED * (len(steps) + 2))
    assert answer == pytest.approx(100 * probability, abs=ROUNDED)
    explained = asked(playground, f"{task}/explain", row)["contributions"]
    said = [100 * contribution["probability"] for contribution in explained]
    assert steps == pytest.approx(said, abs=ROUNDED * 1.001)  # floats are not decimal
    bars = page.locator(".waterfall .step rect")
    assert bars.count() == len(steps)
    track = page.locator(".waterfall .drawn svg").first.bounding_box()
    first = bars.first.bounding_box()
    assert track is not None
    assert first is not None
    # One pixel at each end of the bar.
    assert first["width"] == pytest.approx(track["width"] * abs(said[0]) / 100, abs=2)


def test_a_factor_is_split_into_its_fields(visit: Visit) -> None:
    """The parts of a feature group add up to it, and the button stays where it was."""
    page = visit("#credit")
    shown(page)
    button = page.get_by_role("button", name="Its 6 fields: Repayment status")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".waterfall .part")
    assert button.get_attribute("aria-expanded") == "true"
    assert button.evaluate("element => element === document.activeElement")
    parts = [
        float(value.get_attribute("value") or "nan")
        for value in page.locator(".waterfall .part data").all()
    ]
    whole = float(page.locator(".waterfall .step data").first.get_attribute("value") or "nan")
    assert len(parts) == 6
    assert sum(parts) == pytest.approx(whole, abs=1e-5)  # the tolerance of explanations
    assert "two months late" in page.locator(".waterfall .part th").first.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector(".waterfall .part", state="detached")


def test_a_counterfactual_applied_turns_the_decision(visit: Visit, playground: str) -> None:
    """The form takes its values and the answer falls below the threshold; undo restores both."""
    page = visit("#credit")
    before = shown(page)
    explained = asked(playground, "credit/explain", CLIENT)
    first = explained["counterfactuals"][0]
    page.get_by_text(first["text"]).wait_for()
    page.get_by_role("button", name=f"Apply: {first['text']}").click()
    after = shown(page)
    assert after == asked(playground, "credit/predict", CLIENT | first["changes"])["probability"]
    assert after < explained["threshold"] <= before
    assert page.locator(".answer").get_attribute("data-decision") == "false"
    page.get_by_text("The decision is not adverse.").wait_for()
    page.get_by_role("button", name="Take it back").click()
    page.wait_for_selector(".answer[data-decision='true']")
    assert shown(page) == before


def test_reasons_are_given_in_words(visit: Visit, playground: str) -> None:
    """The reasons are those of the API, in its order."""
    page = visit("#heart")
    shown(page)
    said = page.locator(".changes ol li").all_inner_texts()
    assert said == asked(playground, "heart/explain", PATIENT)["reasons"]


def test_another_model_can_be_asked(visit: Visit, playground: str) -> None:
    """The chosen model is in the address, so a reload keeps it, and the row."""
    page = visit("#heart")
    own = shown(page)
    page.get_by_label("Model", exact=True).select_option("heart-mlp16")
    row = PATIENT | {"age": 70}
    type_into(page, "Age", "70")
    other = asked(playground, "heart/predict?model=heart-mlp16", row)["probability"]
    assert shown(page) == other != own
    assert page.url.endswith("#heart/heart-mlp16")
    page.reload()
    page.get_by_role("heading", level=1).wait_for()
    assert shown(page) == other
    assert field(page, "Age").input_value() == "70"
    page.get_by_text("heart-mlp16, version 1").wait_for()


@pytest.mark.parametrize("what", ["the answer", "why"])
def test_calls_run_as_they_are_pasted(visit: Visit, what: str) -> None:
    """The calls by curl and Python give the figures on the page."""
    page = visit("#heart")
    type_into(page, "Serum cholesterol", "")
    probability = shown(page)
    page.get_by_role("radio", name=what).check()
    for tab, command in (("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])):
        page.get_by_role("tab", name=tab).click()
        call = page.get_by_role("region", name=f"The call as {tab}").inner_text()
        ran = subprocess.run(
            [*command, call], capture_output=True, text=True, timeout=30, check=True
        )
        found = re.search(r"""['"]probability['"]: ?([\d.e-]+)""", ran.stdout)
        assert found, ran.stdout
        assert float(found[1]) == probability


def test_the_latest_row_wins(visit: Visit, playground: str) -> None:
    """A slow answer does not replace the answer to a later row."""
    page = visit("#heart")
    shown(page)
    delayed = []

    def slowly(route: "Route") -> None:
        if (route.request.post_data_json or {}).get("age") == 50:
            delayed.append(route)  # it continues once the next one has been answered
        else:
            route.continue_()

    page.route("**/v1/heart/predict", slowly)
    type_into(page, "Age", "50")
    while not delayed:
        page.wait_for_timeout(20)
    assert page.locator(".stated[data-state='current']").count() == 0
    type_into(page, "Age", "66")
    right = asked(playground, "heart/predict", PATIENT | {"age": 66})["probability"]
    assert shown(page) == right
    delayed[0].abort()
    page.wait_for_timeout(300)
    assert shown(page) == right


def test_doubts_are_shown(visit: Visit, playground: str) -> None:
    """The page says that a row is uncertain or out of distribution, and warns at its field."""
    page = visit("#credit")
    shown(page)
    type_into(page, "Age", "95")
    shown(page)
    answer = asked(playground, "credit/predict", CLIENT | {"age": 95})
    assert answer["in_distribution"] is False
    (warning,) = answer["warnings"]
    beside = page.get_by_text(f"{warning.removeprefix('age: ')}.")
    described = field(page, "Age").get_attribute("aria-describedby") or ""
    assert beside.locator("xpath=..").get_attribute("id") in described.split()
    remarks = page.locator(".answer .remarks li").all_inner_texts()
    assert remarks[0].lower().startswith(answer["certainty"])
    assert remarks[1:] == ["Unlike the rows it learned from"]
    check_accessibility(page)
    type_into(page, "Age", "37")
    shown(page)
    assert beside.count() == 0
    assert page.locator(".answer .strange").count() == 0


def test_an_answer_without_explanation(visit: Visit) -> None:
    """A full explanation queue leaves the answer, with the reason for the missing explanation."""
    page = visit("#heart")
    shown(page)
    detail = "16 explanations wait already"
    page.route(
        "**/v1/heart/explain",
        lambda route: route.fulfill(
            status=503,
            content_type="application/problem+json",
            body=json.dumps({"status": 503, "detail": detail, "errors": []}),
        ),
    )
    type_into(page, "Age", "61")
    page.get_by_text(detail).wait_for()
    assert page.locator(".answer").get_attribute("data-state") == "current"
    assert page.locator(".stated[data-state='outdated']").count() == 2


def test_a_model_that_is_not_there(visit: Visit) -> None:
    """A stale link shows the service's error, which lists the models that exist."""
    page = visit("#heart/heart-old")
    page.wait_for_selector(".answer .error")
    assert "heart-mlp16" in page.locator(".answer .error").inner_text()
    page.get_by_label("Model", exact=True).select_option("heart")
    shown(page)


def test_fields_without_groups_have_a_form_too(page: "Page") -> None:
    """A task whose schema has types only gets a form, as the panel knows no field by name."""
    made = page.evaluate(
        """async () => {
          const { rowOf, decisionOf, boundsOf } = await import('/playground/panels/row/fields.js');
          const object = (properties, required = []) =>
            ({ content: { 'application/json': { schema: { properties, required } } } });
          const size = { type: 'number', minimum: 1, maximum: 9, unit: 'cm' };
          const kind = { anyOf: [{ enum: [1, 2] }, { type: 'null' }] };
          const task = { predict: {
            requestBody: object({ size, kind }, ['size']),
            responses: { 200: object({ probability: { type: 'number' } }) },
          } };
          const row = rowOf({}, task);
          return { groups: row.groups.map((group) => group.fields.map((field) => field.name)),
                   bounds: boundsOf(row.fields.get('size')),
                   kind: row.fields.get('kind'), said: decisionOf({}, task).meanings };
        }"""
    )
    assert made["groups"] == [["size", "kind"]]
    assert made["bounds"] == "1 to 9 cm"
    assert made["kind"]["optional"] is True
    assert [option["text"] for option in made["kind"]["options"]] == ["1", "2"]
    assert made["said"]["true"] == "at or above the threshold"


def test_the_answer_stays_in_sight_on_a_telephone(visit: Visit) -> None:
    """The answer can be seen while a long form is filled in."""
    page = visit("#credit", width=360, touch=True)
    shown(page)
    last = field(page, "Amount paid in April")
    last.scroll_into_view_if_needed()
    box = page.locator(".answer .probability").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_state_is_accessible(visit: Visit, width: int, scheme: Scheme) -> None:
    """An answered, split or refused row has no violation and no scrolling sideways."""
    page = visit("#credit", width=width, scheme=scheme)
    shown(page)
    page.get_by_role("button", name="Its 6 fields: Repayment status").click()
    page.wait_for_selector(".waterfall .part")
    check_accessibility(page)
    check_width(page)
    picture(page, f"row-answered-{width}-{scheme}")
    type_into(page, "Bill statement of May", "-2e7")
    page.wait_for_selector(".answer[data-state='outdated']")
    check_accessibility(page)
    check_width(page)
    picture(page, f"row-refused-{width}-{scheme}")
