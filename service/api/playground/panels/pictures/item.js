/** One picture of a gallery: thumbnail, answer, correction. */

import { h, unique } from "../../dom.js";
import { percent, sentence } from "../../format.js";
import { doubtful, inWords } from "./labels.js";
import { thumbnail } from "./thumbnail.js";

/** Create the item of a picture that waits for its answer. */
export function waitingItem(name) {
  return h("li", { class: "waiting" }, h("p", { class: "name" }, name));
}

/**
 * Create an item. `picture` is the file, unless it is in a zip file; `oncorrect(label)` gets the
 * person's correction ("" for none), `onpick()` is called when a person opens it.
 */
export function item({ picture, name, answer, error, field, labels, oncorrect, onpick }) {
  const element = h(
    "li",
    { class: error ? "refused" : doubtful(answer) ? "doubtful" : null },
    thumbnail(picture, name),
    h("p", { class: "name", title: name }, name),
    error ? h("p", { class: "reason" }, sentence(error.detail)) : verdict(answer, field),
    correction(),
    picture && !error && closer(name, onpick),
  );

  /** Create the list for correcting an answer, or for labelling a refused picture. */
  function correction() {
    const id = unique("correct");
    const given = error ? undefined : answer[field];
    const select = h(
      "select",
      { id, onchange: change },
      h("option", { value: "" }, given ?? "–"),
      labels
        .filter((label) => label !== given)
        .map((label) => h("option", { value: label }, label)),
    );

    function change() {
      element.classList.toggle("corrected", select.value !== "");
      oncorrect(select.value);
    }

    const whose = h("span", { class: "visually-hidden" }, ` (${name})`);
    return h("div", { class: "field" }, h("label", { for: id }, "It is", whose), select);
  }

  return element;
}

function verdict(answer, field) {
  const [words, sure] = [inWords(answer, field), percent(answer.probability)];
  return [
    h("p", { class: "verdict" }, h("strong", {}, words), " ", h("span", {}, sure)),
    answer.in_distribution === false &&
      h("p", { class: "doubt", title: answer.warnings?.join("\n") }, "Unlike what it learned from"),
  ];
}

function closer(name, onclick) {
  return h(
    "button",
    { type: "button", class: "small", "aria-label": `Look closer at ${name}`, onclick },
    "Look closer",
  );
}
