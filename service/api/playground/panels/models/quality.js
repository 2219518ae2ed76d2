/** The quality of a model, in all and for one answer. */

import { h } from "../../dom.js";
import { percent } from "../../format.js";
import { tableOf } from "../../plot.js";
import { confusion } from "./confusion.js";
import { calibration, precisionRecall, roc, scores } from "./curves.js";
import { thresholds } from "./thresholds.js";
import { METRICS, facts, figures, plain, section } from "./words.js";

/** Test parts of fewer rows are called small: their accuracy has a standard error of about .01. */
const SMALL = 1000;

/** Create the section on the test part, in figures and charts. */
export function performance(card, names) {
  const { curves } = card;
  const rows = Object.entries(card.metrics).map(([name, value]) => {
    const [title, words] = METRICS[name] ?? [name, ""];
    return [[title, h("small", {}, words)], figures(value)];
  });
  return section(
    "performance",
    "How good it is",
    h("p", { class: "quiet" }, measured(card)),
    h("div", { class: "metrics" }, tableOf({ caption: "Metrics on the test part", columns: ["metric", "value"], rows })),
    h(
      "div",
      { class: "columns figures" },
      curves.roc.length > 0 && roc(card),
      curves.precision_recall.length > 0 && precisionRecall(card),
      curves.calibration.length > 0 && calibration(card),
      curves.scores.length > 0 && scores(card, names),
    ),
    curves.confusion.length > 0 && confusion(card, names),
    curves.scores.length > 0 && h(
      "details",
      {},
      h("summary", {}, "What other thresholds would do"),
      thresholds(curves.scores),
    ),
  );
}

function measured({ data, metrics: { accuracy }, threshold, contract }) {
  const rows = data.rows.test;
  const words = [
    `Measured once on the exported graph, on ${plain(rows)} test rows that it did not learn from.`,
  ];
  if (!contract.labels.length) words.push(`Its answer is yes from a probability of ${threshold}.`);
  if (rows < SMALL && accuracy) {
    const error = Math.sqrt((accuracy * (1 - accuracy)) / rows);
    words.push(
      `So few rows leave the accuracy uncertain, with a standard error of ${figures(error, 3)}; ` +
        "the other figures too.",
    );
  }
  return words.join(" ");
}

/** Create the section on confidence, if the card has it. */
export function confidence({ confidence: said, contract }) {
  if (!said) return null;
  const { conformal: sets, ood, training_ranges: seen } = said;
  const pictures = contract.labels.length > 0;
  return section(
    "confidence",
    "How far one answer is to be trusted",
    h("p", {}, pictures
      ? `A picture's set of classes is made to hold the truth in ${percent(sets.coverage)} of cases: ` +
        `every class with a probability of at least ${figures(sets.threshold, 3)}, the likeliest always.`
      : "A row is decided if exactly one of yes and no has a probability of at least " +
        `${figures(sets.threshold, 3)}: chosen so that ${percent(sets.coverage)} of sets hold the truth.`),
    facts([
      ["Coverage asked for", percent(sets.coverage)],
      ["Coverage measured", `${percent(sets.measured)} of ${sets.measured_rows.toLocaleString("en")}: ${sets.measured_on}`],
      [pictures ? "More than one class" : "Uncertain", percent(sets.non_singleton_share)],
      ["Cutoff chosen on", `${sets.calibrated_rows.toLocaleString("en")} rows: ${sets.calibrated_on}`],
    ], "facts words"),
    ood && tableOf({
      caption: `Called unlike what it learned from, with a score below ${figures(ood.threshold, 3)} (${ood.chosen_on})`,
      columns: ["pictures", "flagged"],
      rows: Object.entries(ood.flagged).map(([what, share]) => [what, percent(share)]),
    }),
    ood && h("p", { class: "quiet" }, `The score was taught: ${ood.learned_from}.`),
    seen.length > 0 && h(
      "p",
      { class: "quiet" },
      "What training saw of each field is in the table of inputs below; answers warn of what lies outside.",
    ),
  );
}
