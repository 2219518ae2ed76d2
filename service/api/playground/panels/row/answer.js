/** The answer to the row in the form: the probability on its scale, and the decision in words. */

import { h, replace, svg } from "../../dom.js";
import { percentOf, thresholdOf } from "./figures.js";
import { worded } from "./fields.js";
import { stated } from "./stated.js";

/** Most reasons that are listed, because on a phone the card covers part of the form. */
const MOST = 3;

/**
 * {element, wait, show, refuse}: a card with the states of `stated`. `show(answer, warnings)` takes
 * a prediction; `refuse(reasons)` takes {text, go}, where `go` leads to the field they speak of.
 */
export function answerOf({ name, meanings, number }) {
  const said = h("p", { class: "said", role: "status" });
  const scale = h("div", { class: "scale" });
  const remarks = h("ul", { class: "remarks" });
  const model = h("p", { class: "quiet" });
  const card = stated("Answer", [said, remarks, scale, model]);
  const { element, wait } = card;
  element.classList.add("answer");
  element.tabIndex = -1; // takes the focus when the element that had it is gone

  function show(answer, warnings) {
    card.show(); // first, as screen readers ignore changes in a part that is not current
    replace(remarks, remarksOf(answer, warnings));
    model.textContent = `By ${answer.model.name}, version ${answer.model.version}`;
    if (number) {
      const value = answer[number.name];
      replace(said, h("data", { class: "probability", value }, worded(number, value)));
      return;
    }
    const { probability, threshold } = answer;
    const decision = name ? answer[name] : probability >= threshold;
    element.dataset.decision = decision;
    replace(
      said,
      h("data", { class: "probability", value: probability }, percentOf(probability, threshold)),
      " ",
      h("strong", { class: "decision" }, meanings[decision]),
    );
    replace(scale, scaleOf(answer, decision));
  }

  function refuse(reasons) {
    const items = reasons
      .slice(0, MOST)
      .map(({ text, go }) =>
        h("li", {}, go ? h("button", { type: "button", class: "link", onclick: go }, text) : text),
      );
    const more = reasons.length > MOST && h("p", {}, `and ${reasons.length - MOST} more`);
    card.refuse(
      h("div", { class: "error" }, h("p", {}, "No answer to this row"), h("ul", {}, items), more),
    );
  }

  return { element, wait, show, refuse };
}

function scaleOf({ probability, threshold }, decision) {
  const at = (share) => `${share * 100}%`;
  const words = `Probability ${percentOf(probability, threshold)}, threshold ${thresholdOf(threshold)}`;
  const anchor = threshold < 0.2 ? "start" : threshold > 0.8 ? "end" : "middle";
  return svg(
    "svg",
    { role: "img", "aria-label": words, width: "100%", height: "58" },
    svg("rect", { class: "track", x: 0, y: 22, width: "100%", height: 14, rx: 7 }),
    svg("rect", {
      class: decision ? "raised" : "lowered",
      x: 0,
      y: 22,
      width: at(probability),
      height: 14,
      rx: 7,
    }),
    svg("line", { class: "threshold", x1: at(threshold), x2: at(threshold), y1: 17, y2: 41 }),
    svg(
      "text",
      { x: at(threshold), y: 12, "text-anchor": anchor },
      `threshold ${thresholdOf(threshold)}`,
    ),
    svg("text", { x: 0, y: 54 }, "0 %"),
    svg("text", { x: "100%", y: 54, "text-anchor": "end" }, "100 %"),
  );
}

function remarksOf({ certainty, in_distribution: known }, warnings) {
  const told = {
    decided: "Decided, at the card's coverage",
    uncertain: "Uncertain, at the card's coverage",
  };
  return [
    certainty && h("li", { class: certainty }, told[certainty]),
    known === false && h("li", { class: "strange" }, "Unlike the rows it learned from"),
    warnings.map((warning) => h("li", { class: "strange" }, warning)),
  ];
}
