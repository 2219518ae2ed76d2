/** The results of a table: counts, histogram, first rows and bad rows. */

import { h } from "../../dom.js";
import { count, percent } from "../../format.js";
import { tableOf } from "../../plot.js";
import { histogram } from "./histogram.js";

/** Create the cards. `summary` is a Summary's content, `model` such as "heart/1". */
export function results({ summary, model, threshold, seconds, name, download }) {
  return [
    h(
      "section",
      { class: "card", "aria-labelledby": "scored" },
      h("h2", { id: "scored", tabindex: -1 }, `${name}: ${count(summary.rows, "row")}`),
      h(
        "div",
        { class: "columns" },
        summary.scored > 0 && histogram(summary, threshold),
        h("div", { class: "panel" }, figures({ summary, model, threshold, seconds }), download),
      ),
    ),
    summary.bad.length > 0 && badRows(summary),
    summary.rows > 0 && firstRows(summary),
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

function firstRows({ first, rows }) {
  const names = [...new Set(first.flatMap(Object.keys))];
  return h(
    "section",
    { class: "card", "aria-labelledby": "first-rows" },
    h("h2", { id: "first-rows" }, "The first rows"),
    h(
      "p",
      { class: "quiet" },
      "As they are in the scored file: columns that are no fields came back as they were; the fields " +
        "do not come back.",
    ),
    tableOf({
      caption: `${count(first.length, "row")} of ${rows.toLocaleString("en")}, scored`,
      columns: ["row", ...names],
      rows: first.map((row, place) => [place + 1, ...names.map((name) => written(name, row[name]))]),
      numbers: false,
    }),
  );
}

function written(name, value) {
  if (value === null || value === undefined) return "";
  if (name === "probability" && value !== "") return Number(value).toFixed(4);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
