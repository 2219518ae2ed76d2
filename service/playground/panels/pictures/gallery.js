/** Pictures of one's own: chosen, dropped, pasted, photographed; their answers, to be corrected. */

import { aborted } from "../../api.js";
import { download, toCsv } from "../../csv.js";
import { h, replace, unique } from "../../dom.js";
import { count, percent } from "../../format.js";
import { sentence } from "./answer.js";
import { inWords, warningsOf } from "./labels.js";
import { thumbnail } from "./thumbnail.js";
import { isZip, upload } from "./upload.js";

/**
 * `add(files)` sends pictures; `onpick(file, answer)` is called for one that is to be seen in full.
 * The gallery's drop zone is `element` itself.
 */
export function gallery({ task, api, field, labels, onpick }) {
  const path = `v1/${task.name}/predict`;
  const list = h("ul", { class: "gallery", "aria-label": "Pictures and their answers" });
  const summary = h("p", { class: "quiet", role: "status" });
  const save = h("button", { type: "button", class: "primary", onclick: saveCsv }, "Download CSV");
  const forget = h("button", { type: "button", onclick: clear }, "Remove all");
  const found = h("div", { class: "found", hidden: true }, h("div", { class: "row spread" }, summary, h("div", { class: "row" }, save, forget)), list);
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
      { class: error ? "refused" : null },
      thumbnail(picture, name),
      h("p", { class: "name", title: name }, name),
      error ? h("p", { class: "reason" }, sentence(error.detail)) : verdict(answer),
      correction(result),
      picture && !error && h("button", { type: "button", class: "small", "aria-label": `Look closer at ${name}`, onclick: () => onpick(picture, answer) }, "Look closer"),
    );
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

  return { element, add, stop: () => controller.abort() };
}
