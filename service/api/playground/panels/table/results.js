/** The results of a table: counts, histogram, first rows and bad rows. */

import { h } from "../../dom.js";
import { count, percent } from "../../format.js";
import { tableOf } from "../../plot.js";
import { findings } from "./findings.js";
import { histogram } from "./histogram.js";
import { truthCard } from "./truth.js";

/**
 * Create the cards. `summary` is a Summary's content, `end` the service's record of the table,
 * `model` such as "heart/1"; `again` takes choices and sends the file again.
 */
export function results({ summary, end, model, threshold, seconds, order, again, download }) {
  const { file, choices } = order;
  return [
    h(
      "section",
      { class: "card", "aria-labelledby": "scored" },
      h("h2", { id: "scored", tabindex: -1 }, `${file.name}: ${count(summary.rows, "row")}`),
      summary.rows > 0 && !summary.scored && h("p", { class: "warning" }, "No row could be scored."),
      findings({ end, choices, again }),
      h(
        "div",
        { class: "columns" },
        summary.scored > 0 && histogram(summary, threshold),
        h("div", { class: "panel" }, figures({ summary, model, threshold, seconds }), download),
      ),
    ),
    summary.scored > 0 && truthCard({ end, decision: summary.decision, choices, again }),
    summary.bad.length > 0 && badRows(summary),
    summary.rows > 0 && firstRows(summary, end.unread_columns, order.keep),
  ];
}

function figures({ summary, model, threshold, seconds }) {
  const bad = summary.rows - summary.scored;
  const share = summary.scored ? ` (${percent(summary.flagged / summary.scored)})` : "";
  const facts = [
    ["Scored", summary.scored.toLocaleString("en")],
    [`${summary.decision ?? "yes"}, from ${threshold}`, `${summary.flagged.toLocaleString("en")}${share}`],
    ["Bad rows", bad.toLocaleString("en")],
    ["By", h("a", { href: `#models/${model}` }, model)],
    ["In", `${seconds.toFixed(1)} s`],
    ...[...summary.kinds].map(([column, seen]) => [
      column.replaceAll("_", " "),
      [...seen].map(([value, rows]) => `${value || "none"}: ${rows.toLocaleString("en")}`).join(", "),
    ]),
  ];
  return h(
    "dl",
    { class: "facts" },
    facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
  );
}

function badRows({ bad, rows, scored }) {
  const all = rows - scored;
  const lines = bad.flatMap(({ row, problems }) =>
    problems.map(({ field, expected, got }) => [row.toLocaleString("en"), field, expected, got]),
  );
  const listed = all > bad.length ? `, the first ${bad.length} of them` : "";
  return h(
    "section",
    { class: "card", "aria-labelledby": "bad-rows" },
    h("h2", { id: "bad-rows" }, `${count(all, "row")} could not be scored`),
    h(
      "p",
      { class: "quiet" },
      "They are in the scored file too, without a probability and with this reason in the column error. " +
        "Row 1 is the first after the names.",
    ),
    tableOf({
      name: "wide",
      caption: `Rows that could not be scored${listed}`,
      columns: ["row", "field", "expected", "got"],
      rows: lines,
      numbers: false,
    }),
  );
}

function firstRows({ first, rows }, unread, keep) {
  const names = [...new Set([...unread, ...first.flatMap(answersOf)])];
  return h(
    "section",
    { class: "card", "aria-labelledby": "first-rows" },
    h("h2", { id: "first-rows" }, "The first rows"),
    h(
      "p",
      { class: "quiet" },
      "The answers beside the columns that were not read. " +
        (keep ? "The scored file has the others too." : "The scored file has no others."),
    ),
    tableOf({
      caption: `${count(first.length, "row")} of ${rows.toLocaleString("en")}, scored`,
      columns: ["row", ...names],
      rows: first.map((row, place) => [place + 1, ...names.map((name) => written(name, row[name]))]),
      numbers: false,
    }),
  );
}

/** Return the names of a row's answers, which are its last. */
function answersOf(row) {
  const names = Object.keys(row);
  return names.slice(names.indexOf("probability"));
}

function written(name, value) {
  if (value === null || value === undefined) return "";
  if (name === "probability" && value !== "") return Number(value).toFixed(4);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
