/** The waterfall of contributions, from the mean answer to this one, as a table with bars. */

import { h, replace, svg } from "../../dom.js";
import { worded } from "./fields.js";
import { percentOf, pointsOf, waterfallOf } from "./figures.js";

/**
 * Create the table. `show(explanation)` fills it; groups of several fields have a button that calls
 * `split(factor)`, with null to close it again. `explanation.split` is shown below its
 * factor.
 */
export function waterfall(fields, split) {
  const body = h("tbody");
  const element = h(
    "table",
    { class: "waterfall" },
    h(
      "caption",
      {},
      "Each factor's part of the probability, in points of a hundredth: exact Shapley values. ",
      "The dashed line is the threshold.",
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["Factor", "From 0 to 100 %", "Points"].map((title) => h("th", { scope: "col" }, title)),
      ),
    ),
    body,
  );

  function show(explanation) {
    const { base, contributions, probability, threshold, background } = explanation;
    const focused = document.activeElement?.dataset.factor;
    const bar = (from, to, kind) => barOf(from, to, kind, threshold);
    const ground = `mean answer to ${background.rows} reference rows`;
    replace(
      body,
      h(
        "tr",
        { class: "total" },
        headOf("Base", ground),
        bar(0, base.probability, "total"),
        figureOf(percentOf(base.probability), base.probability),
      ),
      waterfallOf(base.probability, contributions).map((step) => [
        stepOf(step, bar, toggleOf(step, explanation.split)),
        explanation.split?.factor === step.factor &&
          waterfallOf(step.from, explanation.split.contributions).map((part) =>
            stepOf(part, bar, null, "part"),
          ),
      ]),
      h(
        "tr",
        { class: "total" },
        headOf("Answer"),
        bar(0, probability, "total"),
        figureOf(percentOf(probability, threshold), probability),
      ),
    );
    // The rows are new and may have another order: keep the focus on the pressed button.
    if (focused) body.querySelector(`[data-factor="${CSS.escape(focused)}"]`)?.focus();
  }

  function stepOf({ title, values, probability, from, to }, bar, toggle, kind = "step") {
    const names = Object.keys(values);
    const value = names.length === 1 ? worded(fields.get(names[0]), values[names[0]]) : "";
    return h(
      "tr",
      { class: kind },
      headOf(title, value, toggle),
      bar(from, to, probability < 0 ? "lowered" : "raised"),
      figureOf(pointsOf(probability), probability),
    );
  }

  function toggleOf({ factor, title, values }, shown) {
    const count = Object.keys(values).length;
    if (count === 1) return null;
    const open = shown?.factor === factor;
    return h(
      "button",
      {
        type: "button",
        class: "link",
        "data-factor": factor,
        "aria-expanded": String(open),
        "aria-label": `Its ${count} fields: ${title}`,
        onclick: () => split(open ? null : factor),
      },
      `Its ${count} fields`,
    );
  }

  return { element, show };
}

function headOf(title, value, toggle) {
  return h("th", { scope: "row" }, title, value && h("span", { class: "value" }, value), toggle);
}

function figureOf(text, exact) {
  return h("td", { class: "number" }, h("data", { value: exact }, text));
}

function barOf(from, to, kind, threshold) {
  // Partial sums may leave 0..1; a bar does not.
  const within = (share) => Math.min(1, Math.max(0, share));
  const at = (share) => `${within(share) * 100}%`;
  const [start, end] = [Math.min(from, to), Math.max(from, to)];
  return h(
    "td",
    { class: "drawn" },
    svg(
      "svg",
      { "aria-hidden": "true", width: "100%", height: "100%" },
      svg("line", { class: "threshold", x1: at(threshold), x2: at(threshold), y1: 0, y2: "100%" }),
      svg("rect", {
        class: kind,
        x: at(start),
        width: at(within(end) - within(start)),
        y: "22%",
        height: "56%",
        rx: 2,
      }),
      svg("line", { class: "reached", x1: at(to), x2: at(to), y1: "22%", y2: "100%" }),
    ),
  );
}
