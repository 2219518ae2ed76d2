/** The confusion matrix as a table with shaded cells. */

import { h } from "../../dom.js";
import { wilson } from "./curves.js";
import { figures } from "./words.js";

/** Create the table. `names` are those of the classes, in the order of `curves.confusion`. */
export function confusion({ curves, contract, threshold }, names) {
  const many = contract.labels.length > 0;
  const lines = curves.confusion.map((counts, truth) => {
    const rows = counts.reduce((sum, count) => sum + count, 0);
    return { counts, rows, truth, right: counts[truth] / Math.max(rows, 1) };
  });
  return h(
    "figure",
    { class: "figure confusion" },
    h(
      "figcaption",
      {},
      h("h3", {}, "Confusion matrix"),
      h(
        "p",
        { class: "quiet" },
        many ? "Test pictures" : `Test rows at the threshold ${threshold}`,
        ", a line for each true class. The stronger the colour, the larger its share of the line",
        many && "; stretched so that rare mistakes show",
        ".",
      ),
    ),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion matrix" },
      h(
        "table",
        {},
        h("caption", { class: "visually-hidden" }, "Truth by line, answer by column"),
        h("thead", {}, h(
          "tr",
          {},
          h("th", { scope: "col" }, "truth ╲ answer"),
          names.map((name) => h("th", { scope: "col", class: "number" }, name)),
          h("th", { scope: "col", class: "number" }, "share right"),
          many && h("th", { scope: "col", class: "number" }, "95 % interval"),
        )),
        h("tbody", {}, lines.map(({ counts, rows, truth, right }) => h(
          "tr",
          {},
          h("th", { scope: "row" }, names[truth]),
          counts.map((count) => h(
            "td",
            { class: "number cell", style: shade(count / rows, many) },
            h("span", { class: count ? null : "none" }, count.toLocaleString("en")),
          )),
          h("td", { class: "number" }, figures(right)),
          many && h("td", { class: "number interval" }, wilson(right, rows).map((end) => figures(end, 3)).join(" to ")),
        ))),
      ),
    ),
  );
}

function shade(share, many) {
  const strength = many ? share ** 0.3 : share;
  return { "--strength": `${Math.round(strength * 40)}%` };
}
