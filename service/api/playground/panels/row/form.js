/** A form for one row, made from the service's schema. */

import { h, unique } from "../../dom.js";
import { controlOf } from "./controls.js";
import { boundsOf } from "./fields.js";

/**
 * Create {element, read, write, show, focus}. `read` and `write` are texts by field; `write` keeps
 * other fields unchanged. `show(problems, warnings)` puts messages, by field, beside their fields.
 * `changed(name)` is called whenever a person changes a field.
 */
export function formOf({ fields, groups }, changed) {
  const controls = new Map();

  function control(field, column) {
    const made = controlOf(field, changed, column);
    controls.set(field.name, made);
    return made.element;
  }

  const element = h(
    "form",
    {
      class: "card fields",
      autocomplete: "off",
      "aria-label": "Row",
      onsubmit: (event) => event.preventDefault(),
    },
    groups.map((group) =>
      h(
        "fieldset",
        { class: "group" },
        h("legend", {}, group.title),
        group.rows
          ? tableOf(group, control)
          : h(
              "div",
              { class: "grid" },
              group.fields.map((field) => control(field)),
            ),
      ),
    ),
  );

  return {
    element,
    read: () => Object.fromEntries([...controls].map(([name, one]) => [name, one.read()])),
    write: (texts) =>
      Object.entries(texts).forEach(([name, text]) => controls.get(name)?.write(text)),
    show: (problems, warnings) =>
      controls.forEach((one, name) => one.show(problems.get(name), warnings.get(name))),
    focus: (name) => controls.get(name).focus(),
  };
}

function tableOf({ title, rows, columns }, control) {
  const told = columns.map(({ title: of, fields }) => ({
    title: of,
    fields,
    hint: unique("hint"),
  }));
  const head = told.map(({ title: of, fields, hint }) =>
    h("th", { scope: "col" }, of, h("span", { class: "hint", id: hint }, boundsOf(fields[0]))),
  );
  return h(
    "table",
    { class: "series", "aria-label": title },
    h("thead", {}, h("tr", {}, h("td"), head)),
    h(
      "tbody",
      {},
      rows.map((row, place) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, row),
          told.map((column) => h("td", {}, control(column.fields[place], column))),
        ),
      ),
    ),
  );
}
