/** The sheet to draw on, with its tools. */

import { h, unique } from "../../dom.js";
import { sheet } from "./sheet.js";

const [THINNEST, USUAL, WIDEST] = [2, 7, 20]; // per cent of a side

/** Create it. Calls `onchange()` when the drawing differs, `onsave()` to save it; `tell(answer)`. */
export function drawingCard({ field, onchange, onsave }) {
  const [hint, slider] = [unique("hint"), unique("pen")];
  const paper = sheet({
    label: `Drawing area for a ${field}`,
    describedBy: hint,
    width: USUAL / 100,
    onchange() {
      update();
      onchange();
    },
  });
  const undo = h("button", { type: "button", onclick: () => paper.undo() }, "Undo");
  const clear = h("button", { type: "button", onclick: () => paper.clear() }, "Clear");
  const save = h("button", { type: "button", onclick: onsave }, "Save PNG");
  const pen = h("input", {
    type: "range",
    id: slider,
    min: THINNEST,
    max: WIDEST,
    value: USUAL,
    oninput: () => paper.setWidth(pen.value / 100),
  });
  // On a phone the answer is below the sheet and the hand. Its card informs screen readers.
  const short = h("p", { class: "short", "aria-hidden": "true" });
  const element = h(
    "section",
    { class: "card drawing", "aria-label": "Draw", onkeydown: shortcut },
    h("div", { class: "row spread" }, h("h2", {}, "Draw"), short),
    h("div", { class: "paper" }, paper.element),
    h(
      "div",
      { class: "row tools" },
      undo,
      clear,
      save,
      h("div", { class: "pen" }, h("label", { for: slider }, "Pen"), pen),
    ),
    h(
      "p",
      { id: hint, class: "quiet" },
      "With a mouse, a finger or a pen. By keyboard: arrow keys move the pen, the space bar puts " +
        "it down and lifts it.",
    ),
  );

  function shortcut(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      paper.undo();
    }
  }

  function update() {
    undo.disabled = !paper.canUndo();
    clear.disabled = save.disabled = paper.empty();
  }

  update();
  return { element, sheet: paper, tell: (text) => (short.textContent = text) };
}
