/** The refusal of a table, with what would settle it: other codes, or columns as fields. */

import { h, unique } from "../../dom.js";
import { failure } from "../../notices.js";
import { suggested } from "./choices.js";
import { chosen } from "./findings.js";

/** Values of a select that are no field: no field has such a name. */
const UNREAD = "";
const TRUTH = "=truth";

/**
 * Create the elements. `fields` are those of the task, as example.js has them; `again` takes
 * choices and sends the file again.
 */
export function refusal({ name, error, fields, choices, again }) {
  const { codings, columns } = suggested(error.suggestions ?? []);
  const settled = codings.length > 0 || columns.size > 0;
  return h(
    "section",
    { class: "card", "aria-labelledby": "refused" },
    h("h2", { id: "refused" }, `${name} was refused`),
    // Where it can be settled, the columns are listed by the form.
    failure(settled ? { detail: error.detail, requestId: error.requestId } : error),
    chosen(choices, again),
    codings.length > 0 && codingButtons(codings, (coding) => again({ ...choices, coding })),
    columns.size > 0 && columnForm(columns, fields, (read) => again(merged(choices, read))),
  );
}

function codingButtons(codings, onCoding) {
  return h(
    "p",
    { class: "row" },
    codings.map((coding, place) => h(
      "button",
      { type: "button", class: place === 0 && "primary", onclick: () => onCoding(coding) },
      `Read as ${coding}`,
    )),
  );
}

/** Create a form with a line for each column; `onRead` takes pairs of a column and what was chosen. */
function columnForm(columns, fields, onRead) {
  const taken = new Set();
  const lines = [...columns].map(([column, field]) => {
    const guess = taken.has(field) ? null : field;
    taken.add(guess);
    const select = h(
      "select",
      { id: unique("column"), onchange: () => forgive(lines) },
      h("option", { value: UNREAD }, "leave it unread"),
      h("option", { value: TRUTH }, "the truth: what became of it"),
      fields.map((each) => h(
        "option",
        { value: each.name, selected: each.name === guess },
        each.description ? `${each.name}: ${each.description}` : each.name,
      )),
    );
    return { column, select };
  });
  return h(
    "form",
    {
      class: "reading",
      onsubmit: (event) => {
        event.preventDefault();
        if (unlike(lines)) onRead(lines.map(({ column, select }) => [column, select.value]));
      },
    },
    h("h3", {}, "What these columns are"),
    lines.map(({ column, select }) =>
      h("div", { class: "line" }, h("label", { for: select.id }, column), select)),
    h("p", {}, h("button", { type: "submit", class: "primary" }, "Read it so")),
  );
}

/** Return true if no two columns are the same, and say so where they are. */
function unlike(lines) {
  const seen = new Set();
  for (const { select } of lines) {
    if (select.value !== UNREAD && seen.has(select.value)) {
      select.setCustomValidity("This is chosen for another column already");
      return select.reportValidity();
    }
    seen.add(select.value);
  }
  return true;
}

function forgive(lines) {
  for (const { select } of lines) select.setCustomValidity("");
}

/** Return choices with what was chosen for some columns. */
function merged({ fields, ignored, truth, coding }, read) {
  const columns = read.map(([column]) => column);
  const chosenAs = (value) => read.filter(([, other]) => other === value).map(([column]) => column);
  const mapped = read.filter(([, value]) => value !== UNREAD && value !== TRUTH);
  return {
    coding,
    fields: { ...fields, ...Object.fromEntries(mapped) },
    ignored: [...ignored.filter((column) => !columns.includes(column)), ...chosenAs(UNREAD)],
    truth: chosenAs(TRUTH)[0] ?? truth,
  };
}
