"""Drawing with pointer events from point to point, as a person does."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

Points = Sequence[tuple[float, float]]
"""Points as fractions of the sheet's side, from its upper left corner."""

SEVEN: Points = [(0.28, 0.25), (0.72, 0.25), (0.6, 0.5), (0.45, 0.82)]
ONE: Points = [(0.5, 0.18), (0.5, 0.82)]


def on_screen(page: "Page", points: Points) -> list[tuple[float, float]]:
    """Scroll the sheet into view and return where its points are on the screen."""
    sheet = page.locator("canvas.sheet")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    assert box
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def draw(page: "Page", points: Points) -> None:
    """Draw one stroke with the mouse."""
    first, *others = on_screen(page, points)
    page.mouse.move(*first)
    page.mouse.down()
    for x, y in others:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()


def draw_with_pen(page: "Page", points: Points) -> None:
    """Draw one stroke by the events of a stylus."""
    tablet = page.context.new_cdp_session(page)
    first, *others = on_screen(page, points)

    def pen(kind: str, at: tuple[float, float], **more: Any) -> None:
        place = {"type": kind, "x": at[0], "y": at[1], "pointerType": "pen"}
        tablet.send("Input.dispatchMouseEvent", {**place, "button": "left", "buttons": 1, **more})

    pen("mousePressed", first, clickCount=1)
    for at in between(first, others):
        pen("mouseMoved", at)
    pen("mouseReleased", others[-1], buttons=0)


def draw_with_finger(page: "Page", points: Points) -> None:
    """Draw one stroke by the events of a touch screen."""
    screen = page.context.new_cdp_session(page)

    def touch(kind: str, *fingers: tuple[float, float]) -> None:
        touches: list[Any] = [{"x": x, "y": y} for x, y in fingers]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    first, *others = on_screen(page, points)
    touch("touchStart", first)
    for at in between(first, others):
        touch("touchMove", at)
    touch("touchEnd")


def between(first: tuple[float, float], others: Points) -> Iterator[tuple[float, float]]:
    """Yield the points on the way from each point to the next."""
    x, y = first
    for to_x, to_y in others:
        for share in np.linspace(0, 1, 9)[1:].tolist():
            yield x + (to_x - x) * share, y + (to_y - y) * share
        x, y = to_x, to_y
