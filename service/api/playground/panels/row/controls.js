/** The control of one field: a number, a list of choices, or a few of them side by side. */

import { h, replace, unique } from "../../dom.js";
import { boundsOf, NOT_RECORDED } from "./fields.js";
import { stepped } from "./steps.js";

const MOST_RADIOS = 3;

/**
 * Create {element, read, write, focus, show}: texts, "" for nothing; `show(problem, warning)`
 * shows messages beside it.
 *
 * `changed` is called whenever a person changes it. A control in a table's cell is told its
 * `column`: {title, hint}, the id of the text that says its bounds.
 */
export function controlOf(field, changed, column) {
  const make = !field.options ? number : isShort(field) && !column ? radios : list;
  const notes = h("div", { class: "notes", id: unique("notes") });
  const bounds = column ? "" : boundsOf(field);
  const hint = bounds && h("p", { class: "hint", id: unique("hint") }, bounds);
  const described = [column?.hint ?? hint.id, notes.id].filter(Boolean).join(" ");
  const { element, marked, ...control } = make(field, changed, described, column);
  element.append(...[hint, notes].filter(Boolean));

  function show(problem, warning) {
    if (problem) marked.setAttribute("aria-invalid", "true");
    else marked.removeAttribute("aria-invalid");
    replace(
      notes,
      problem && h("p", { class: "wrong" }, problem),
      warning && h("p", { class: "caution" }, warning),
    );
  }

  return { ...control, element, show };
}

function number(field, changed, described, column) {
  const input = h("input", {
    id: unique(field.name),
    name: field.name,
    // type=number would hide text that is not a number; the service says what is wrong.
    type: "text",
    inputmode: field.low < 0 ? "text" : "decimal", // decimal keyboards of phones have no minus
    autocomplete: "off",
    spellcheck: "false",
    placeholder: field.optional ? NOT_RECORDED : null,
    role: "spinbutton",
    "aria-valuemin": field.low,
    "aria-valuemax": field.high,
    "aria-describedby": described,
    oninput: () => (valued(), changed(field.name)),
    onkeydown: step,
  });
  const unit = field.unit && h("span", { class: "unit", "aria-hidden": "true" }, field.unit);
  const element = h(
    "div",
    { class: "field number" },
    labelOf(field, { for: input.id }, column),
    h("div", { class: "entry" }, input, unit),
  );

  function valued() {
    const value = Number(input.value);
    input.setAttribute("aria-valuetext", input.value.trim() || NOT_RECORDED);
    if (input.value.trim() && Number.isFinite(value)) input.setAttribute("aria-valuenow", value);
    else input.removeAttribute("aria-valuenow");
  }

  function step(event) {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const text = stepped(input.value, way, field);
    if (text === input.value) return;
    input.value = text;
    valued();
    changed(field.name);
  }

  return {
    element,
    marked: input,
    read: () => input.value.trim(),
    write: (text) => ((input.value = text), valued()),
    focus: () => input.focus(),
  };
}

function list(field, changed, described, column) {
  const select = h(
    "select",
    {
      id: unique(field.name),
      name: field.name,
      "aria-describedby": described,
      onchange: () => changed(field.name),
    },
    choicesOf(field).map(({ value, text }) => h("option", { value }, text)),
  );
  return {
    element: h("div", { class: "field" }, labelOf(field, { for: select.id }, column), select),
    marked: select,
    read: () => select.value,
    write: (text) => (select.value = text),
    focus: () => select.focus(),
  };
}

function radios(field, changed, described) {
  const group = unique(field.name);
  const inputs = choicesOf(field).map(({ value, text }) => ({
    text,
    input: h("input", { type: "radio", name: group, value, onchange: () => changed(field.name) }),
  }));
  const label = h("span", { class: "label", id: unique("label") }, ...titleOf(field));
  const options = inputs.map(({ input, text }) => h("label", {}, input, h("span", {}, text)));
  const element = h(
    "div",
    {
      class: "field",
      role: "radiogroup",
      "aria-labelledby": label.id,
      "aria-describedby": described,
    },
    label,
    h("div", { class: "options" }, options),
  );
  const checked = () => inputs.find(({ input }) => input.checked)?.input;
  return {
    element,
    marked: element,
    read: () => checked()?.value ?? "",
    write: (text) => inputs.forEach(({ input }) => (input.checked = input.value === text)),
    focus: () => (checked() ?? inputs[0].input).focus(),
  };
}

function isShort({ options, optional }) {
  return options.length + Number(optional) <= MOST_RADIOS;
}

function choicesOf({ options, optional }) {
  return optional ? [...options, { value: "", text: NOT_RECORDED }] : options;
}

function labelOf(field, attributes, column) {
  if (!column) return h("label", attributes, ...titleOf(field));
  // The whole title is for screen readers; others see the titles of row and column.
  return [
    h("label", { ...attributes, class: "visually-hidden" }, field.title),
    h("span", { class: "column", "aria-hidden": "true" }, column.title),
  ];
}

function titleOf({ title, name }) {
  return [title, " ", h("code", { class: "name", "aria-hidden": "true" }, name)];
}
