/** The choice of a task, one of its models, a file, and what comes back. */

import { h, replace, unique } from "../../dom.js";
import { count } from "../../format.js";
import { saving } from "./download.js";
import { ROWS, exampleTable } from "./example.js";
import { SUFFIXES } from "./formats.js";

/**
 * Create an element; `onFiles` takes chosen or dropped files, `onChange` is called when anything
 * else changes, `onKeep` also when other columns are to come back, and `signal` ends it.
 */
export function chooser({ tables, first, api, onFiles, onChange, onKeep, signal }) {
  const task = h(
    "select",
    { id: unique("task"), onchange: changed },
    tables.map(({ name, title }) => h("option", { value: name, selected: name === first }, title)),
  );
  const model = h("select", { id: unique("model"), onchange: onChange });
  const keep = h("input", { type: "checkbox", id: unique("keep"), checked: true, onchange: onKeep });
  const harmless = h("input", { type: "checkbox", id: unique("harmless"), checked: true, onchange: onChange });
  const example = h("div", { class: "row" });
  const zone = dropZone(onFiles);
  dropped(zone, onFiles, signal);
  const element = h(
    "section",
    { class: "card", "aria-label": "The table" },
    h(
      "div",
      { class: "columns" },
      h("div", { class: "field" }, h("label", { for: task.id }, "What the rows are"), task),
      h("div", { class: "field" }, h("label", { for: model.id }, "Model"), model),
    ),
    zone,
    h(
      "p",
      { class: "quiet" },
      "Columns may come in any order and under the names that such files have; what was made of them is " +
        "said above the answers. Rows that cannot be scored are listed with the reason.",
    ),
    h(
      "div",
      { class: "ways" },
      labelled(keep, "Keep every column", "The scored file has all your columns; otherwise only those that are no fields."),
      labelled(
        harmless,
        "Make formulas harmless",
        "In CSV, text that begins with = + - or @ gets a ' in front, so that no spreadsheet runs it.",
      ),
    ),
    example,
  );

  function chosen() {
    return tables.find(({ name }) => name === task.value);
  }

  function showOwn() {
    const own = chosen();
    replace(model, h("option", { value: own.name }, own.name));
    const file = new File([exampleTable(own.payload)], `${own.name}-example.csv`);
    replace(
      example,
      h("button", { type: "button", onclick: () => onFiles([file]) }, `Try ${count(ROWS, "made-up row")}`),
      saving(file, file.name, { title: "Download them as CSV" }),
    );
  }

  async function changed() {
    showOwn();
    onChange();
    const own = chosen();
    const models = await api.get("v1/models").catch(() => []); // the default model answers
    if (own !== chosen()) return;
    const names = models.filter((one) => one.task === own.name && one.ready).map(({ name }) => name);
    const others = names.filter((name) => name !== own.name);
    replace(model, [own.name, ...others].map((name) => h("option", { value: name }, name)));
  }

  /** Return what comes back, see calls.js. */
  function ways() {
    return { keep: keep.checked, harmless: harmless.checked };
  }

  /** Return an order without a file, see calls.js. */
  function order() {
    return { task: chosen(), model: model.value, ...ways() };
  }

  return { element, order, ways, start: changed };
}

function labelled(input, title, words) {
  return h(
    "p",
    { class: "way" },
    input,
    h("label", { for: input.id }, title),
    h("span", { class: "quiet" }, words),
  );
}

/** Create the file chooser, a file input with a large label, for pointer and keyboard. */
function dropZone(onFiles) {
  const input = h("input", {
    type: "file",
    id: unique("file"),
    class: "visually-hidden",
    accept: SUFFIXES.join(","),
    onchange: () => {
      const files = [...input.files];
      input.value = ""; // so that the same file can be chosen again
      onFiles(files);
    },
  });
  return h(
    "div",
    { class: "drop" },
    input,
    h("label", { for: input.id }, h("strong", {}, "Choose a file"), " or drop it here"),
    h("p", { class: "quiet" }, "CSV and other text, Excel, Parquet, NDJSON, JSON or an Arrow stream; text also compressed"),
  );
}

/** Take files that are dropped anywhere on the page, until `signal` ends it. */
function dropped(zone, onFiles, signal) {
  const on = (event, act) => document.addEventListener(event, act, { signal });
  on("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("over");
  });
  on("dragleave", ({ relatedTarget }) => zone.classList.toggle("over", relatedTarget !== null));
  on("drop", (event) => {
    event.preventDefault(); // or the browser leaves the page to show the file
    zone.classList.remove("over");
    onFiles([...event.dataTransfer.files]);
  });
}
