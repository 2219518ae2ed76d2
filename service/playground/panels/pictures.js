/** Pictures: drawn and answered as one draws, or handed in. */

import { download } from "../csv.js";
import { h } from "../dom.js";
import { latest } from "../latest.js";
import { snippet } from "../snippet.js";
import { about } from "./pictures/about.js";
import { answerCard } from "./pictures/answer.js";
import { gallery } from "./pictures/gallery.js";
import { labelsOf } from "./pictures/labels.js";
import { drawingCard } from "./pictures/drawing.js";
import { whyCard } from "./pictures/why.js";

const PAUSE = 70; // ms without a stroke before the network is asked
const LONGEST = 250; // ms: somebody who draws without a pause is answered all the same
const WHY_PAUSE = 350; // ms: a heat map is a hundred times the work of an answer

export function mount(root, { task, schema, api }) {
  const { field, labels } = labelsOf(schema, task);
  const [predict, explain] = ["predict", "explain"].map((verb) => `v1/${task.name}/${verb}`);
  const askAnswer = latest(PAUSE, LONGEST);
  const askWhy = latest(WHY_PAUSE);
  const answer = answerCard({ field, labels });
  const why = whyCard();
  const drawing = drawingCard({ field, onchange: drawn, onsave: save });
  const pictures = gallery({ task, api, field, labels, onpick: pick });
  const call = snippet({ path: predict, file: "drawing.png", type: "image/png" });
  const offered = `/${explain}` in schema.paths;

  function drawn() {
    call.show({ path: predict, file: "drawing.png", type: "image/png" });
    answer.about("Your drawing");
    if (drawing.sheet.empty()) {
      askAnswer.cancel();
      askWhy.cancel();
      why.clear();
      answer.blank("Nothing is drawn yet.");
      return;
    }
    askAnswer(async (signal) => tellAnswer(await drawing.sheet.png(), signal));
    explainSoon(() => drawing.sheet.png());
  }

  async function tellAnswer(png, signal) {
    try {
      answer.show(await api.post(predict, { form: formOf(png, "drawing.png"), signal }));
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      answer.fail(error);
    }
  }

  function explainSoon(picture) {
    if (!offered) return;
    askWhy(async (signal) => {
      try {
        why.show(await api.post(explain, { form: formOf(await picture(), "picture"), signal }));
      } catch (error) {
        if (!(error instanceof api.Problem)) throw error;
        why.clear(); // the answer has said what is wrong
      }
    });
  }

  function pick(file, its) {
    askAnswer.cancel();
    answer.about(file.name);
    answer.show(its);
    explainSoon(() => file);
    call.show({ path: predict, file: file.name, type: file.type });
    answer.element.scrollIntoView({ block: "nearest" });
  }

  async function save() {
    download(await drawing.sheet.png(), "drawing.png");
  }

  const stopDrops = takeFiles(root, pictures.add);
  root.append(
    h("h1", {}, task.title),
    h("p", { class: "lead" }, "Draw, and the network answers as you do; or hand in pictures."),
    h("div", { class: "columns" }, drawing.element, answer.element, offered && why.element),
    about({ api, name: task.name }),
    pictures.element,
    call,
  );
  answer.blank("Nothing is drawn yet.");
  return () => {
    stopDrops();
    askAnswer.cancel();
    askWhy.cancel();
    pictures.stop();
    drawing.sheet.stop();
  };
}

function formOf(blob, name) {
  const form = new FormData();
  form.append("file", blob, name);
  return form;
}

/** Files that are dropped or pasted anywhere while the panel is there. */
function takeFiles(root, add) {
  const controller = new AbortController();
  const { signal } = controller;
  const mark = (over) => root.classList.toggle("dropping", over);
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    mark(true);
  }, { signal });
  document.addEventListener("dragleave", (event) => mark(event.relatedTarget !== null), { signal });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    add([...event.dataTransfer.files]);
  }, { signal });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) add([...event.clipboardData.files]);
  }, { signal });
  return () => controller.abort();
}
