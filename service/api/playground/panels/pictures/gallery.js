/** Files that were chosen, dropped, pasted or photographed, with answers that can be corrected. */

import { aborted } from "../../api.js";
import { download, toCsv } from "../../csv.js";
import { h, replace } from "../../dom.js";
import { count } from "../../format.js";
import { item, waitingItem } from "./item.js";
import { isZip, upload } from "./upload.js";

const COLUMNS = ["file", "answer", "probability", "corrected", "error"];
const SHOWN = {
  all: "All",
  doubtful: "Doubtful ones",
  refused: "Refused ones",
  corrected: "Corrected ones",
};

/**
 * Create a gallery. `add(files)` sends pictures; `onpick(file, answer)` is called for one that
 * a person opens.
 */
export function gallery({ task, api, field, labels }) {
  const list = h("ul", { class: "gallery", "aria-label": "Pictures and their answers" });
  const summary = h("p", { class: "quiet", role: "status" });
  const showing = h(
    "select",
    { class: "showing", "aria-label": "Show", onchange: show },
    Object.entries(SHOWN).map(([value, text]) => h("option", { value }, text)),
  );
  const none = h("p", { class: "quiet", hidden: true }, "None of them.");
  const save = h("button", { type: "button", class: "primary", onclick: saveCsv }, "Download CSV");
  const forget = h("button", { type: "button", onclick: clear }, "Remove all");
  const found = h(
    "div",
    { class: "found", hidden: true },
    h("div", { class: "row spread" }, summary, h("div", { class: "row" }, showing, save, forget)),
    none,
    list,
  );
  const choose = chooser("Choose pictures", {
    multiple: true,
    accept: "image/*,.zip,application/zip",
  });
  const photograph = chooser("Take a photograph", { accept: "image/*", capture: "environment" });
  photograph.button.classList.add("photograph");
  const made = { element: card(), add, onpick() {} };
  let results = []; // rows of COLUMNS, in the order in which they were answered
  let waiting = 0;
  let controller = new AbortController();

  function card() {
    const ways =
      "or drop them anywhere on this page, or paste one. Many at once, a folder or a zip file of " +
      "them; photographs as they are.";
    const buttons = [choose, photograph].map(({ button, input }) => [button, input]);
    return h(
      "section",
      { class: "card drop", "aria-label": "Pictures of your own" },
      h("h2", {}, "Pictures of your own"),
      h(
        "div",
        { class: "zone" },
        h("div", { class: "row" }, buttons),
        h("p", { class: "quiet" }, ways),
      ),
      found,
    );
  }

  function chooser(text, attributes) {
    const given = { type: "file", hidden: true, "aria-label": text, onchange: take };
    const input = h("input", { ...given, ...attributes });
    const button = h("button", { type: "button", onclick: () => input.click() }, text);
    return { input, button };
  }

  function take({ target }) {
    add([...target.files]);
    target.value = ""; // so that the same file can be chosen again
  }

  async function add(files) {
    if (!files.length) return;
    found.hidden = false;
    waiting += files.length;
    const places = new Map(files.map((file) => [file, waitingItem(file.name)]));
    list.append(...places.values());
    tell();
    function onresults(file, answers) {
      waiting -= 1;
      places.get(file).replaceWith(...answers.map((answer) => taken(file, answer)));
      tell();
    }
    try {
      const { signal } = controller;
      await upload({ api, path: `v1/${task.name}/predict`, files, signal, onresults });
    } catch (error) {
      if (!aborted(error)) throw error;
    }
  }

  function taken(file, { file: name, error, ...answer }) {
    const { [field]: label, probability } = answer;
    const result = { file: name, answer: label, probability, error: error?.detail };
    results.push(result);
    const picture = isZip(file) ? null : file;
    return item({
      picture,
      name,
      answer,
      error,
      field,
      labels,
      oncorrect(corrected) {
        result.corrected = corrected;
        tell();
      },
      onpick: () => made.onpick(picture, answer),
    });
  }

  function tell() {
    const refused = results.filter(({ error }) => error).length;
    const corrected = results.filter((result) => result.corrected).length;
    const parts = [`${count(results.length, "picture")} answered`];
    if (refused) parts.push(`${refused} of them refused`);
    if (corrected) parts.push(`${corrected} corrected`);
    if (waiting) parts.push(`${waiting} to go`);
    summary.textContent = parts.join(", ");
    save.disabled = !results.length;
    show();
  }

  function show() {
    const { value } = showing;
    list.dataset.showing = value;
    none.hidden = value === "all" || list.querySelector(`.${value}`) !== null;
  }

  function clear() {
    controller.abort();
    controller = new AbortController();
    results = [];
    waiting = 0;
    replace(list);
    found.hidden = true;
    choose.button.focus();
  }

  function saveCsv() {
    const table = new Blob([toCsv(COLUMNS, results)], { type: "text/csv" });
    download(table, `${task.name}.csv`);
  }

  return made;
}
