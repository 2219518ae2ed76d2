/** Counterfactuals of a decision, and its reasons in words. */

import { h, replace } from "../../dom.js";

/** Create {element, show}. `apply(changes)` is called with values by field. */
export function changesOf(apply) {
  const reasons = h("div");
  const ways = h("div");
  const element = h("div", { class: "changes" }, ways, reasons);

  function show(explanation) {
    replace(
      reasons,
      explanation.reasons.length > 0 && [
        h("h3", {}, "Reasons for it"),
        h(
          "ol",
          {},
          explanation.reasons.map((reason) => h("li", {}, reason)),
        ),
      ],
    );
    replace(
      ways,
      explanation.counterfactuals.length
        ? h("ul", { class: "ways" }, explanation.counterfactuals.map(wayOf))
        : h("p", { class: "quiet" }, sentenceOf(explanation.counterfactuals_note)),
    );
  }

  function wayOf({ text, changes }) {
    const button = h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `Apply: ${text}`,
        onclick: () => apply(changes),
      },
      "Apply",
    );
    return h("li", {}, h("span", {}, text), button);
  }

  return { element, show };
}

function sentenceOf(note) {
  return note ? `${note[0].toUpperCase()}${note.slice(1)}.` : "";
}
