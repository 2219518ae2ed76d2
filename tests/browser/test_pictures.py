"""Tests of the panels for digits and garments, used as a person uses them."""

import base64
import csv
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.browser.conftest import PATIENCE, Scheme, Visit
from tests.browser.looks import check_accessibility, check_width, picture
from tests.browser.strokes import ONE, SEVEN, Points, draw, draw_with_finger, draw_with_pen
from training.data.datasets import load_mnist

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

CHOOSE = "Choose pictures"


def png(points: Points, side: int = 200) -> bytes:
    """Return a PNG of a stroke with a marker."""
    image = Image.new("L", (side, side), 255)
    places = [(x * side, y * side) for x, y in points]
    ImageDraw.Draw(image).line(places, fill=0, width=side // 12, joint="curve")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Return files of a seven, of a one, and of something that is not a picture."""
    for name, content in {
        "seven.png": png(SEVEN),
        "one.png": png(ONE),
        "letter.png": b"Dear all, this is no picture.",
    }.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in ("seven.png", "one.png", "letter.png")]


def answer(page: "Page") -> "Locator":
    """Return the headline, which has the answer for the drawing."""
    return page.locator(".headline strong")


def hand_in(page: "Page", files: list[Path]) -> "Locator":
    """Choose files by the button; return the gallery's items once each has its answer."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=CHOOSE).click()
    chooser.value.set_files(files)
    items = page.locator(".gallery > li")
    page.wait_for_function("() => document.querySelectorAll('.gallery > li:not(.waiting)').length")
    page.wait_for_function("() => !document.querySelector('.gallery .waiting')")
    return items


def test_a_drawn_seven_is_a_seven(page: "Page") -> None:
    """A seven drawn with the mouse has its answer, ten bars, decoded picture and heat map."""
    assert "Nothing is drawn yet" in page.locator(".answer").inner_text()
    draw(page, SEVEN)
    answer(page).get_by_text("7", exact=True).wait_for()
    bars = page.locator(".bars li")
    assert bars.count() == 10
    assert "chosen" in (bars.nth(7).get_attribute("class") or "")
    page.get_by_role("img", name="The picture as the network saw it").wait_for()
    page.get_by_role("img", name="Heat map:").wait_for()
    drawn = page.locator(".why canvas").first.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)"
    )
    seen = np.array(drawn).reshape(28, 28)
    assert seen[4:24, 4:24].max() > 200  # the ink
    assert not seen[:3].any()  # the margin of MNIST's pictures
    picture(page, "digits-drawn")


def test_one_is_answered_while_still_drawing(page: "Page") -> None:
    """A stroke is answered while the pen is still down."""
    page.evaluate("window.scrollTo(0, 0)")
    box = page.locator("canvas.sheet").bounding_box()
    assert box
    page.mouse.move(box["x"] + 170, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 170, box["y"] + 280, steps=10)
    answer(page).get_by_text("1", exact=True).wait_for()
    page.mouse.up()


def test_undo_and_clear(page: "Page") -> None:
    """Undo removes a stroke or restores a cleared drawing; an empty sheet says that it is empty."""
    undo = page.get_by_role("button", name="Undo")
    clear = page.get_by_role("button", name="Clear")
    assert undo.is_disabled()
    assert clear.is_disabled()
    draw(page, ONE)
    answer(page).get_by_text("1", exact=True).wait_for()
    draw(page, [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)])
    undo.click()
    answer(page).get_by_text("1", exact=True).wait_for()
    clear.click()
    page.locator(".answer").get_by_text("Nothing is drawn yet").first.wait_for()
    undo.click()
    answer(page).get_by_text("1", exact=True).wait_for()
    page.keyboard.press("Control+z")
    page.locator(".answer").get_by_text("Nothing is drawn yet").first.wait_for()


def test_the_call_of_an_older_drawing_is_aborted(page: "Page") -> None:
    """A call under way is aborted, so that its answer cannot be shown for a later drawing."""
    page.route("**/v1/digits/*", lambda route: None)  # never answered
    asked: list[Request] = []
    called_off: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.on("requestfailed", lambda request: called_off.append(request))
    with page.expect_request("**/v1/digits/predict"):
        draw(page, SEVEN)
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".headline").inner_text() == "Nothing is drawn yet."
    for _ in range(PATIENCE // 50):
        if len(called_off) == len(asked):
            return
        page.wait_for_timeout(50)  # lets events arrive
    raise AssertionError("somebody still waits for an answer that nobody wants")


def test_a_finger_draws_and_does_not_scroll(visit: Visit) -> None:
    """A finger on a phone's touch screen draws, and the page does not scroll."""
    page = visit("#digits", width=360, touch=True)
    page.locator("canvas.sheet").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    draw_with_finger(page, SEVEN)
    answer(page).get_by_text("7", exact=True).wait_for()
    assert page.evaluate("scrollY") == before
    page.get_by_role("button", name="Take a photograph").wait_for()


def test_a_pen_draws(page: "Page") -> None:
    """A stylus on a tablet draws."""
    page.evaluate("addEventListener('pointerdown', (e) => { window.kind = e.pointerType })")
    draw_with_pen(page, SEVEN)
    answer(page).get_by_text("7", exact=True).wait_for()
    assert page.evaluate("window.kind") == "pen"


def test_the_keyboard_draws_too(page: "Page") -> None:
    """Arrow keys and the space bar draw a one and clear it, without a pointer."""
    page.locator("canvas.sheet").focus()
    for key in ["ArrowUp"] * 12 + [" "] + ["ArrowDown"] * 24 + [" "]:
        page.keyboard.press(key)
    answer(page).get_by_text("1", exact=True).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Undo"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".answer").get_by_text("Nothing is drawn yet").first.wait_for()


def test_pictures_need_the_keyboard_only(page: "Page", pictures: list[Path]) -> None:
    """Pictures are chosen, inspected, corrected and saved without a pointer."""
    # Listen for file choosers from now on: to begin when the key is pressed may be too late.
    page.on("filechooser", lambda _: None)
    page.locator("canvas.sheet").focus()
    press_until(page, "Tab", "Choose pictures")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(pictures[:2])
    page.get_by_text("2 pictures answered").wait_for()
    press_until(page, "Tab", "Download CSV")
    press_until(page, "Tab", "Look closer at seven.png")
    page.keyboard.press("Enter")
    answer(page).get_by_text("7", exact=True).wait_for()
    press_until(page, "Tab", "It is (one.png)")
    page.keyboard.press("4")
    page.get_by_text("2 pictures answered, 1 corrected").wait_for()


def press_until(page: "Page", key: str, name: str) -> None:
    """Press a key until the element of this name has the focus."""
    for _ in range(30):
        page.keyboard.press(key)
        called = page.evaluate(
            """() => {
                const { activeElement: at } = document;
                return at.getAttribute("aria-label") ?? (at.labels?.[0] ?? at).textContent;
            }"""
        )
        if called == name:
            return
    raise AssertionError(f"{key} never leads to {name}")


def test_a_screen_reader_is_told_the_answer_once_the_hand_rests(page: "Page") -> None:
    """The answer is announced politely after a pause, and not at each stroke."""
    status = page.locator(".answer [role=status]")
    draw(page, SEVEN)
    status.get_by_text("7, ").wait_for(state="attached")


def test_pictures_handed_in_are_answered_corrected_and_saved(
    page: "Page", pictures: list[Path]
) -> None:
    """Several files are answered; one is refused with its reason; the CSV has the corrections."""
    items = hand_in(page, pictures)
    assert items.count() == 3
    assert items.nth(0).locator(".verdict strong").inner_text() == "7"
    assert items.nth(1).locator(".verdict strong").inner_text() == "1"
    assert "PNG, JPEG" in items.nth(2).locator(".reason").inner_text()
    items.nth(1).get_by_label("It is").select_option("4")
    items.nth(2).get_by_label("It is").select_option("0")
    page.get_by_text("3 pictures answered, 1 of them refused, 2 corrected").wait_for()
    page.get_by_label("Show").select_option("Corrected ones")
    assert [item.is_visible() for item in items.all()] == [False, True, True]
    page.get_by_label("Show").select_option("All")
    page.get_by_role("link", name="Models").click()  # leaving the panel loses nothing
    page.get_by_role("link", name="Handwritten digits").click()
    page.get_by_text("3 pictures answered, 1 of them refused, 2 corrected").wait_for()
    check_accessibility(page)
    picture(page, "digits-gallery")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "digits.csv"
    with download.value.path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["seven.png", "one.png", "letter.png"]
    assert [row["answer"] for row in rows] == ["7", "1", ""]
    assert [row["corrected"] for row in rows] == ["", "4", "0"]
    assert float(rows[0]["probability"]) > 0.5
    assert "PNG, JPEG" in rows[2]["error"]
    page.get_by_role("button", name="Remove all").click()
    assert items.count() == 0


def test_one_picture_of_the_gallery_in_full(page: "Page", pictures: list[Path]) -> None:
    """A picture of the gallery has its bars, decoded picture and heat map, and its own call."""
    hand_in(page, pictures)
    page.get_by_role("button", name="Look closer at one.png").click()
    answer(page).get_by_text("1", exact=True).wait_for()
    page.locator(".answer").get_by_text("one.png").wait_for()
    page.get_by_role("img", name="Heat map:").wait_for()
    assert "@one.png" in page.locator(".snippet pre").first.inner_text()


def test_a_zip_file_of_pictures(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    """Each picture in a zip file has an item; so has a file that is not a zip file."""
    packed, broken = tmp_path / "some.zip", tmp_path / "broken.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in pictures[:2]:
            archive.write(path, f"folder/{path.name}")
    broken.write_bytes(b"PK, it says")
    items = hand_in(page, [packed, broken, pictures[0]])
    names = [name.inner_text() for name in items.locator(".name").all()]
    assert names == [
        "some.zip/folder/seven.png",
        "some.zip/folder/one.png",
        "broken.zip",
        "seven.png",
    ]
    assert items.nth(2).locator(".reason").inner_text()
    assert items.nth(3).locator(".verdict strong").inner_text() == "7"


def test_a_picture_pasted(page: "Page") -> None:
    """A picture can be pasted anywhere; the event is made, as scripts cannot paste files."""
    page.evaluate(
        """(content) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
            document.body.dispatchEvent(
                new ClipboardEvent("paste", { bubbles: true, clipboardData }));
        }""",
        base64.b64encode(png(SEVEN)).decode(),
    )
    page.locator(".gallery .verdict strong").get_by_text("7").wait_for()


def test_files_and_folders_dropped(page: "Page", pictures: list[Path], tmp_path: Path) -> None:
    """Files and nested folders can be dropped anywhere on the page."""
    inner = tmp_path / "drawings" / "more"
    inner.mkdir(parents=True)
    (inner.parent / "a.png").write_bytes(png(SEVEN))
    (inner / "b.png").write_bytes(png(ONE))
    (inner / ".DS_Store").write_bytes(b"what a system leaves behind")
    desktop = page.context.new_cdp_session(page)
    files = [str(path) for path in (inner.parent, pictures[0])]
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver", "drop"):
        desktop.send("Input.dispatchDragEvent", {"type": step, "x": 300, "y": 60, "data": data})
        if step == "dragOver":
            page.locator(".dropping").wait_for()
    page.get_by_text("3 pictures answered").wait_for()
    names = sorted(name.inner_text() for name in page.locator(".gallery .name").all())
    assert names == ["a.png", "b.png", "seven.png"]
    assert page.locator(".dropping").count() == 0


def test_a_class_full_of_digits(page: "Page", data_dir: Path | None, tmp_path: Path) -> None:
    """Fifty of MNIST's test digits at once have each its own answer."""
    mnist = load_mnist(data_dir)
    files = []
    for at in range(50):
        files.append(tmp_path / f"{at:02}.png")
        Image.fromarray(mnist.test_images[at]).save(files[-1])
    items = hand_in(page, files)
    assert items.count() == 50
    answers = items.locator("option:first-child").all_inner_texts()
    right = np.mean(np.array(answers, int) == mnist.test_labels[:50])
    assert right >= 0.98  # one of fifty may be wrong; answers in a wrong order would leave a tenth
    page.get_by_label("Show").select_option("Doubtful ones")
    picture(page, "digits-many")


def test_the_calls_that_are_shown_run_as_they_are_pasted(page: "Page", tmp_path: Path) -> None:
    """The calls by curl and Python run beside the drawing that was saved."""
    draw(page, SEVEN)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG").click()
    assert download.value.suggested_filename == "drawing.png"
    download.value.save_as(tmp_path / "drawing.png")
    with Image.open(tmp_path / "drawing.png") as saved:
        assert np.array(saved.convert("L")).min() == 0
    for tab, command in (("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])):
        page.get_by_role("tab", name=tab).click()
        call = page.get_by_role("region", name=f"The call as {tab}").inner_text()
        ran = subprocess.run(
            [*command, call], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
        )
        assert re.search(r"""['"]digit['"]: ?7""", ran.stdout)


def test_the_call_is_copied(visit: Visit) -> None:
    """The call is copied to the clipboard, if the browser gives pages one."""
    page = visit("#digits")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy curl").click()
    page.get_by_text("Copied").wait_for()
    assert "v1/digits/predict" in page.evaluate("navigator.clipboard.readText()")


def test_a_photograph_is_sent_as_it_is(page: "Page", tmp_path: Path) -> None:
    """A photograph of 12 megapixels is sent unchanged, and shown upright by its EXIF tag."""
    photograph = tmp_path / "photograph.jpg"
    image = Image.new("L", (3000, 4000), 210)
    stroke = [(x * 3000, y * 4000) for x, y in SEVEN]
    ImageDraw.Draw(image).line(stroke, fill=40, width=150, joint="curve")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera lay on its side
    image.rotate(90, expand=True).save(photograph, exif=turned)
    with page.expect_request("**/v1/digits/predict") as sent:
        items = hand_in(page, [photograph])
    assert int(sent.value.all_headers()["content-length"]) > photograph.stat().st_size
    assert items.locator(".verdict strong").inner_text() == "7"
    wide, high = items.locator(".thumbnail canvas").evaluate("c => [c.width, c.height]")
    assert (wide, high) == (168, 224)


def test_garments_by_the_same_panel(page: "Page") -> None:
    """The panel has the labels, bars and hints of garments."""
    page.get_by_role("link", name="Garments").click()
    page.get_by_role("heading", name="Garments").wait_for()
    page.get_by_text("on a plain background").wait_for()
    assert page.locator(".bars .label").nth(9).inner_text() == "Ankle boot"
    page.get_by_label("Pen").fill("20")
    trousers = [
        [(0.35, 0.15), (0.33, 0.85)],
        [(0.65, 0.15), (0.67, 0.85)],
        [(0.35, 0.2), (0.65, 0.2)],
    ]
    for stroke in trousers:
        draw(page, stroke)
    answer(page).get_by_text("Trouser").wait_for()
    page.get_by_role("img", name="Heat map:").wait_for()
    picture(page, "fashion-drawn")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_answers_and_gallery_are_accessible(
    visit: Visit, pictures: list[Path], width: int, scheme: Scheme
) -> None:
    """The panel with all its parts passes on a desktop and a phone, light and dark."""
    page = visit("#digits", width=width, scheme=scheme)
    hand_in(page, pictures)
    draw(page, SEVEN)
    page.get_by_role("img", name="Heat map:").wait_for()
    check_accessibility(page)
    check_width(page)
    picture(page, f"digits-all-{width}-{scheme}")


def test_an_uncertain_answer_names_every_likely_digit(page: "Page", pictures: list[Path]) -> None:
    """Several likely digits are named together with the warnings, also in the gallery."""
    page.route(
        "**/v1/digits/predict",
        lambda route: route.fulfill(
            json={
                "digit": 4,
                "probability": 0.52,
                "probabilities": [0, 0, 0, 0, 0.52, 0, 0, 0, 0, 0.48],
                "prediction_set": [4, 9],
                "in_distribution": False,
                "warnings": ["it does not look like the pictures that the model learned from"],
                "model": {"name": "digits", "version": "1"},
            }
        ),
    )
    draw(page, SEVEN)
    answer(page).get_by_text("4 or 9").wait_for()
    page.locator(".warning").get_by_text("It does not look like the pictures").wait_for()
    items = hand_in(page, pictures[:1])
    assert items.locator(".verdict strong").inner_text() == "4 or 9"
    assert items.locator(".doubt").inner_text() == "Unlike what it learned from"
    page.get_by_label("Show").select_option("Doubtful ones")
    assert items.is_visible()
    check_accessibility(page)


def test_a_service_that_does_not_answer_is_an_error_in_words(page: "Page") -> None:
    """Without a service the panel shows an error, not an empty answer or the last one."""
    page.route(
        "**/v1/digits/*",
        lambda route: route.fulfill(
            status=503,
            content_type="application/problem+json",
            json={
                "title": "Service Unavailable",
                "status": 503,
                "detail": "digits is being loaded",
                "request_id": "0",
            },
        ),
    )
    draw(page, SEVEN)
    page.get_by_role("alert").get_by_text("digits is being loaded").wait_for()
