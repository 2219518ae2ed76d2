/** One answer in full: the class, its probability, and a bar for every class. */

import { bars } from "../../bars.js";
import { h, replace } from "../../dom.js";
import { percent, sentence } from "../../format.js";
import { failure } from "../../notices.js";
import { inWords, warningsOf } from "./labels.js";

const QUIET = 700; // ms without a new answer before a screen reader is told of it

/** Create it: `show(answer)`, `blank(text)`, `fail(error)`; `about(text)` names the picture. */
export function answerCard({ field, labels }) {
  const subject = h("p", { class: "quiet subject" });
  const headline = h("p", { class: "headline" });
  const remarks = h("div", { class: "remarks" });
  const spoken = h("p", { class: "visually-hidden", role: "status" });
  const chart = bars(labels);
  const element = h(
    "section",
    { class: "card answer", "aria-label": "Answer" },
    h("div", { class: "row spread" }, h("h2", {}, "Answer"), subject),
    headline,
    remarks,
    chart,
    spoken,
  );
  let timer;

  /** Announce the answer after a pause, not at each stroke. */
  function say(text) {
    clearTimeout(timer);
    timer = setTimeout(() => (spoken.textContent = text), QUIET);
  }

  function blank(text) {
    headline.textContent = text;
    headline.className = "headline none";
    replace(remarks);
    chart.show(null);
    say(text);
  }

  return {
    element,
    blank,
    about(text) {
      subject.textContent = text;
    },
    show(answer) {
      const words = inWords(answer, field);
      const sure = percent(answer.probability);
      const warnings = warningsOf(answer);
      headline.className = words.length > 6 ? "headline long" : "headline";
      headline.classList.toggle("strange", answer.in_distribution === false);
      replace(headline, h("strong", {}, words), " ", h("span", {}, sure));
      replace(
        remarks,
        warnings.map((text) => h("p", { class: "warning" }, text)),
      );
      chart.show(answer.probabilities, labels.indexOf(answer[field]));
      say([`${words}, ${sure}.`, ...warnings].join(" "));
    },
    fail(error) {
      // A drawing without a digit is not an error: show the reason as a remark.
      if (error.status === 422) return blank(sentence(error.detail));
      blank("");
      replace(remarks, failure(error));
    },
  };
}
