/** The part that says what the service made of a table: its record of the end, in words. */

import { h } from "../../dom.js";
import { sentence } from "../../format.js";
import { spoken } from "./choices.js";

const MOST_NAMED = 12;

/** Create the elements. `end` is the record of job.js; `again` takes choices and sends the file again. */
export function findings({ end, choices, again }) {
  const facts = [
    ["Read under another name", renamed(end.mapped_columns)],
    ["Not read", end.unread_columns],
    ["Recorded in no row", end.not_recorded],
    ["Form found out", Object.entries(end.read_as).map(([what, how]) => `${what} ${how}`)],
    ["Codes read as", end.coding ? [end.coding] : []],
  ].filter(([, names]) => names.length > 0);
  return [
    chosen(choices, again),
    end.notes.map((note) => h("p", { class: "warning" }, sentence(note))),
    facts.length > 0 && h(
      "dl",
      { class: "findings" },
      facts.map(([term, names]) => h("div", {}, h("dt", {}, term), h("dd", {}, listed(names)))),
    ),
  ];
}

/** Create the list of choices that were made about a file, each with a button that takes it back. */
export function chosen(choices, again) {
  const made = spoken(choices);
  if (!made.length) return null;
  return h(
    "ul",
    { class: "chosen", "aria-label": "Your choices for this file" },
    made.map(({ words, without }) => h(
      "li",
      {},
      words,
      h(
        "button",
        { type: "button", class: "small", "aria-label": `Take back: ${words}`, onclick: () => again(without) },
        "Take back",
      ),
    )),
  );
}

/** Return columns with their fields; another spelling alone, such as `Age`, is not worth a word. */
function renamed(mapped) {
  return Object.entries(mapped)
    .filter(([column, field]) => plain(column) !== plain(field))
    .map(([column, field]) => `${column} as ${field}`);
}

function plain(name) {
  return name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
}

function listed(names) {
  const others = names.length - MOST_NAMED;
  const shown = names.slice(0, MOST_NAMED).join(", ");
  return others > 0 ? `${shown} and ${others} more` : shown;
}
