/** The panel's two calls to take away: the answer, and why. */

import { h, unique } from "../../dom.js";
import { snippet } from "../../snippet.js";

/** {element, show}: `callOf("predict" or "explain")` is asked each time for the call to show. */
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
