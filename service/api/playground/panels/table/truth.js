/** The comparison of answers with what became true, where a column of the file says so. */

import { h, unique } from "../../dom.js";
import { count, percent } from "../../format.js";
import { tableOf } from "../../plot.js";
import { calibration } from "../models/curves.js";

/**
 * Create the card: a choice of one of the columns that were not read, and the figures if one was
 * chosen. `decision` is the name of a yes, such as "disease".
 */
export function truthCard({ end, decision, choices, again }) {
  const columns = [...new Set([...end.unread_columns, ...(choices.truth ? [choices.truth] : [])])];
  if (!columns.length) return null;
  return h(
    "section",
    { class: "card", "aria-labelledby": "truth" },
    h("h2", { id: "truth" }, "How right the answers are"),
    truthForm(columns, choices.truth, (truth) => again({ ...choices, truth })),
    end.evaluation && compared(end.evaluation, decision),
  );
}

function truthForm(columns, truth, onTruth) {
  const select = h(
    "select",
    { id: unique("truth"), required: true },
    h("option", { value: "" }, "choose a column"),
    columns.map((name) => h("option", { value: name, selected: name === truth }, name)),
  );
  return h(
    "form",
    {
      class: "truth",
      onsubmit: (event) => {
        event.preventDefault();
        onTruth(select.value);
      },
    },
    h("div", { class: "field" }, h("label", { for: select.id }, "This column is the truth"), select),
    h("button", { type: "submit" }, "Compare"),
  );
}

function compared(evaluation, decision) {
  if (evaluation.error) return h("p", { class: "warning" }, `No comparison: ${evaluation.error}.`);
  return [
    h("p", {}, about(evaluation)),
    evaluation.auc !== null && evaluation.auc < 0.5 && h(
      "p",
      { class: "warning" },
      "The AUC is below one half: does the column mean the opposite?",
    ),
    figures(evaluation),
    h("div", { class: "columns" }, confusion(evaluation, decision), calibrated(evaluation)),
  ];
}

function about({ truth, meaning, rows, positives, rows_without_truth: silent, rows_not_scored: bad }) {
  const left = [
    silent > 0 && `${count(silent, "row")} without a truth`,
    bad > 0 && `${count(bad, "row")} that could not be scored`,
  ].filter(Boolean);
  const others = left.length ? ` Left out: ${left.join(" and ")}.` : "";
  return (
    `In ${truth}, ${meaning}. It is yes in ${positives.toLocaleString("en")} of ` +
    `${count(rows, "row")}.${others}`
  );
}

function figures(found) {
  const facts = [
    ["AUC", decimal(found.auc)],
    ["Log-loss", decimal(found.log_loss)],
    ["Expected calibration error", decimal(found.expected_calibration_error)],
    [`Accuracy, from ${found.threshold}`, share(found.accuracy)],
    ["Sensitivity", share(found.sensitivity)],
    ["Specificity", share(found.specificity)],
  ];
  return h(
    "dl",
    { class: "facts" },
    facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
  );
}

function confusion({ confusion: cells, threshold }, decision) {
  return h(
    "div",
    {},
    tableOf({
      caption: `Truth by line, answer by column, from ${threshold} on`,
      columns: ["truth ╲ answer", decision, `no ${decision}`],
      rows: [
        [decision, cells.true_positive, cells.false_negative],
        [`no ${decision}`, cells.false_positive, cells.true_negative],
      ].map(([name, ...rows]) => [name, ...rows.map((number) => number.toLocaleString("en"))]),
    }),
  );
}

function calibrated({ calibration: bins }) {
  const points = bins.map(({ predicted, observed, rows }) => ({ probability: predicted, share: observed, rows }));
  return calibration({ curves: { calibration: points }, contract: { labels: [] } });
}

/** Format a figure; without a row of yes, or of no, some have no value. */
function decimal(value) {
  return value === null ? "unknown" : value.toFixed(4);
}

function share(value) {
  return value === null ? "unknown" : percent(value);
}
