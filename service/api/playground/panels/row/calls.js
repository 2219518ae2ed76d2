/** The panel's two calls, to be copied: predict and explain. */

import { h, unique } from "../../dom.js";
import { snippet } from "../../snippet.js";

/** Create {element, show}; each `show()` gets its calls from `callOf("predict" or "explain")`. */
export function callsOf(callOf) {
  const group = unique("call");
  let chosen = "predict";
  const element = snippet({ path: "" });
  const choice = [
    ["predict", "the answer"],
    ["explain", "why"],
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
