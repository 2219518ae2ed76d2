/** Pictures of one's own: chosen, dropped, pasted, photographed; their answers, to be corrected. */

import { aborted } from "../../api.js";
import { download, toCsv } from "../../csv.js";
import { h, replace, unique } from "../../dom.js";
import { count, percent } from "../../format.js";
import { sentence } from "./answer.js";
import { inWords, warningsOf } from "./labels.js";
import { thumbnail } from "./thumbnail.js";
import { isZip, upload } from "./upload.js";

const SHOWN = { all: "All", doubtful: "Doubtful ones", refused: "Refused ones", corrected: "Corrected ones" };
const SURE = 0.9;

/**
 * `add(files)` sends pictures. What is returned has its `onpick(file, answer)` called for one that
 * is to be seen in full.
 */
export function gallery({ task, api, field, labels }) {
  const path = `v1/${task.name}/predict`;
  const list = h("ul", { class: "gallery", "aria-label": "Pictures and their answers" });
  const summary = h("p", { class: "quiet", role: "status" });
  const save = h("button", { type: "button", class: "primary", onclick: saveCsv }, "Download CSV");
  const forget = h("button", { type: "button", onclick: clear }, "Remove all");
  const showing = h(
    "select",
    { class: "showing", "aria-label": "Show", onchange: () => (list.dataset.showing = showing.value) },
    Object.entries(SHOWN).map(([value, text]) => h("option", { value }, text)),
  );
  const found = h("div", { class: "found", hidden: true }, h("div", { class: "row spread" }, summary, h("div", { class: "row" }, showing, save, forget)), list);
  let results = []; // {file, answer, probability, corrected, error}, in the order of their arrival
  let waiting = 0;
  let controller = new AbortController();

  const choose = chooser("Choose pictures", { multiple: true, accept: "image/*,.zip,application/zip" });
  const photograph = chooser("Take a photograph", { accept: "image/*", capture: "environment" });
  photograph.button.classList.add("photograph");
  const element = h(
    "section",
    { class: "card drop", "aria-label": "Pictures of your own" },
    h("h2", {}, "Pictures of your own"),
    h(
      "div",
      { class: "zone" },
      h("div", { class: "row" }, choose.button, choose.input, photograph.button, photograph.input),
      h("p", { class: "quiet" }, "or drop them anywhere on this page, or paste one. Many at once, or a zip file of them; photographs as they are."),
    ),
    found,
  );

  function chooser(text, attributes) {
    const input = h("input", { type: "file", hidden: true, "aria-label": text, ...attributes, onchange: take });
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
    const places = new Map(files.map((file) => [file, list.appendChild(h("li", { class: "waiting" }, h("p", { class: "name" }, file.name)))]));
    tell();
    const { signal } = controller;
    try {
      await upload({
        api,
        path,
        files,
        signal,
        onresults(file, answers) {
          waiting -= 1;
          places.get(file).replaceWith(...answers.map((answer) => shown(file, answer)));
          tell();
        },
      });
    } catch (error) {
      if (!aborted(error)) throw error;
    }
  }

  function shown(file, { file: name, error, ...answer }) {
    const result = { file: name, answer: answer[field], probability: answer.probability, error: error?.detail };
    results.push(result);
    const picture = isZip(file) ? null : file;
    return h(
      "li",
      { class: error ? "refused" : doubtful(answer) ? "doubtful" : null },
      thumbnail(picture, name),
      h("p", { class: "name", title: name }, name),
      error ? h("p", { class: "reason" }, sentence(error.detail)) : verdict(answer),
      correction(result),
      picture && !error && h("button", { type: "button", class: "small", "aria-label": `Look closer at ${name}`, onclick: () => made.onpick(picture, answer) }, "Look closer"),
    );
  }

  function doubtful(answer) {
    return answer.probability < SURE || answer.prediction_set?.length > 1 || warningsOf(answer).length > 0;
  }

  function verdict(answer) {
    return [
      h("p", { class: "verdict" }, h("strong", {}, inWords(answer, field)), " ", h("span", {}, percent(answer.probability))),
      warningsOf(answer).map((text) => h("p", { class: "doubt" }, text)),
    ];
  }

  /** A wrong answer is put right by hand; so is a picture that was refused. */
  function correction(result) {
    const id = unique("correct");
    const select = h(
      "select",
      { id, onchange: () => {
        result.corrected = select.value;
        select.closest("li").classList.toggle("corrected", select.value !== "");
        tell();
      } },
      h("option", { value: "" }, result.answer ?? "–"),
      labels.filter((label) => label !== result.answer).map((label) => h("option", { value: label }, label)),
    );
    return h("div", { class: "field" }, h("label", { for: id }, "It is", h("span", { class: "visually-hidden" }, ` (${result.file})`)), select);
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
    const columns = ["file", "answer", "probability", "corrected", "error"];
    download(new Blob([toCsv(columns, results)], { type: "text/csv" }), `${task.name}.csv`);
  }

  const made = { element, add, onpick() {} };
  return made;
}
