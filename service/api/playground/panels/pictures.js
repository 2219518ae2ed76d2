/** The panel of a picture task: a drawing that is answered at once, and files. */

import { download } from "../csv.js";
import { bringIntoView, h } from "../dom.js";
import { percent } from "../format.js";
import { latest } from "../latest.js";
import { snippet } from "../snippet.js";
import { about } from "./pictures/about.js";
import { answerCard } from "./pictures/answer.js";
import { drawingCard } from "./pictures/drawing.js";
import { gallery } from "./pictures/gallery.js";
import { inWords, labelsOf } from "./pictures/labels.js";
import { incoming } from "./pictures/incoming.js";
import { whyCard } from "./pictures/why.js";

const PAUSE = 70; // ms without a stroke before a call
const LONGEST = 250; // ms between calls while somebody draws without a pause
const WHY_PAUSE = 350; // ms: a heat map takes a hundred times as long as an answer

/** Galleries by task, which keep files and corrections while another panel is open. */
const galleries = new Map();

export function mount(root, { task, schema, api }) {
  const { field, labels } = labelsOf(schema, task);
  const [predict, explain] = ["predict", "explain"].map((verb) => `v1/${task.name}/${verb}`);
  const askAnswer = latest(PAUSE, LONGEST);
  const askWhy = latest(WHY_PAUSE);
  const answer = answerCard({ field, labels });
  const why = whyCard();
  const drawing = drawingCard({ field, onchange: drawn, onsave: save });
  if (!galleries.has(task.name)) galleries.set(task.name, gallery({ task, api, field, labels }));
  const pictures = galleries.get(task.name);
  pictures.onpick = pick;
  const call = snippet({ path: predict, file: "drawing.png", type: "image/png" });

  function drawn() {
    call.show({ path: predict, file: "drawing.png", type: "image/png" });
    answer.about("Your drawing");
    if (drawing.sheet.empty()) {
      askAnswer.cancel();
      askWhy.cancel();
      why.clear();
      answer.blank("Nothing is drawn yet.");
      drawing.tell("");
      return;
    }
    askAnswer(async (signal) => tellAnswer(await drawing.sheet.png(), signal));
    explainSoon(() => drawing.sheet.png());
  }

  async function tellAnswer(png, signal) {
    try {
      const its = await api.post(predict, { form: formOf(png, "drawing.png"), signal });
      answer.show(its);
      drawing.tell(`${inWords(its, field)} · ${percent(its.probability)}`);
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      answer.fail(error);
      drawing.tell("");
    }
  }

  function explainSoon(picture) {
    if (!task.explain) return;
    askWhy(async (signal) => {
      try {
        why.show(await api.post(explain, { form: formOf(await picture(), "picture"), signal }));
      } catch (error) {
        if (!(error instanceof api.Problem)) throw error;
        why.clear(); // the answer shows the error
      }
    });
  }

  function pick(file, its) {
    askAnswer.cancel();
    answer.about(file.name);
    answer.show(its);
    explainSoon(() => file);
    // Not every file has a type; the service reads its content.
    const type = file.type in task.predict.requestBody.content ? file.type : "image/png";
    call.show({ path: predict, file: file.name, type });
    bringIntoView(answer.element);
  }

  async function save() {
    download(await drawing.sheet.png(), "drawing.png");
  }

  const stopDrops = incoming({
    add: pictures.add,
    over: (whether) => root.classList.toggle("dropping", whether),
  });
  root.append(
    h("h1", {}, task.title),
    h("p", { class: "lead" }, "Draw, and the network answers as you do; or hand in pictures."),
    h("div", { class: "columns" }, drawing.element, answer.element, task.explain && why.element),
    about({ api, name: task.name }),
    pictures.element,
    call,
  );
  answer.blank("Nothing is drawn yet.");
  return () => {
    stopDrops();
    askAnswer.cancel();
    askWhy.cancel();
    drawing.sheet.stop();
  };
}

function formOf(blob, name) {
  const form = new FormData();
  form.append("file", blob, name);
  return form;
}
