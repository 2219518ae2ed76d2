"""Drawing as a person does: with real pointer events, on the way from point to point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

Points = Sequence[tuple[float, float]]
"""Shares of the sheet's side, from its upper left corner."""

SEVEN: Points = [(0.28, 0.25), (0.72, 0.25), (0.6, 0.5), (0.45, 0.82)]
ONE: Points = [(0.5, 0.18), (0.5, 0.82)]


def on_screen(page: "Page", points: Points) -> list[tuple[float, float]]:
    """Where points of the sheet are on the screen, once it is scrolled into view."""
    sheet = page.locator("canvas.sheet")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    assert box
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def draw(page: "Page", points: Points) -> None:
    """One stroke with the mouse."""
    first, *others = on_screen(page, points)
    page.mouse.move(*first)
    page.mouse.down()
    for x, y in others:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()


def draw_with_finger(page: "Page", points: Points) -> None:
    """One stroke on a touch screen, as the browser gets it from one."""
    screen = page.context.new_cdp_session(page)

    def touch(kind: str, *fingers: tuple[float, float]) -> None:
        touches: list[Any] = [{"x": x, "y": y} for x, y in fingers]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    first, *others = on_screen(page, points)
    touch("touchStart", first)
    at = first
    for to in others:
        for step in range(1, 9):
            share = step / 8
            touch("touchMove", (at[0] + (to[0] - at[0]) * share, at[1] + (to[1] - at[1]) * share))
        at = to
    touch("touchEnd")
