/** One picture of a gallery: what it shows, what is to be said of it, what a person says. */

import { h, unique } from "../../dom.js";
import { percent, sentence } from "../../format.js";
import { doubtful, inWords } from "./labels.js";
import { thumbnail } from "./thumbnail.js";

/** A picture whose answer is still to come. */
export function waitingItem(name) {
  return h("li", { class: "waiting" }, h("p", { class: "name" }, name));
}

/**
 * `picture` is the file, where the browser has it by itself; `oncorrect(label)` gets what a person
 * says it is ("" for as answered), `onpick()` is called when it is to be seen in full.
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

  /** A wrong answer is put right by hand; so is a picture that was refused. */
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
