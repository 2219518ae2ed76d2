/** The panel's two calls, to be copied: predict and explain. */

import { h, unique } from "../../dom.js";
import { snippet } from "../../snippet.js";

/**
 * Create {element, show}; each `show()` gets its call from `callOf("predict" or "explain")`.
 * Without `explain`, predict is the only one.
 */
export function callsOf(callOf, { explain }) {
  const group = unique("call");
  let chosen = "predict";
  const element = snippet({ path: "" });
  const choice = [
    ["predict", "the answer"],
    ...(explain ? [["explain", "why"]] : []),
  ].map(([what, title]) => {
    const onchange = () => ((chosen = what), show());
    const input = h("input", { type: "radio", name: group, value: what, onchange });
    input.checked = what === chosen;
    return h("label", {}, input, h("span", {}, title));
  });
  element.firstElementChild.after(
    h("div", { class: "options", role: "radiogroup", "aria-label": "What it asks for" }, choice),
  );

  function show() {
    element.show(callOf(chosen));
  }

  return { element, show };
}
