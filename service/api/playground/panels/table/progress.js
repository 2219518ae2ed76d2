/** The progress of a table: a bar, words and a button that cancels it. */

import { h } from "../../dom.js";

/** Create an element, shown from `start` to `end`; `show(step)` takes the messages of worker.js. */
export function progress(onCancel) {
  const bar = h("progress", { max: 1, "aria-label": "How far it is" });
  const words = h("p", { class: "step" });
  // Screen readers announce each step once, not every number.
  const said = h("p", { class: "visually-hidden", role: "status" });
  const cancel = h("button", { type: "button", onclick: onCancel }, "Cancel");
  const element = h("div", { class: "progress", hidden: true }, words, bar, cancel);

  function say(step, detail, share) {
    words.textContent = `${step}${detail}`;
    if (said.textContent !== step) said.textContent = step;
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  }

  function show({ step, bytes, total, rows }) {
    if (step === "sending" && bytes < total) {
      say("Sending", ` ${megabytes(bytes)} of ${megabytes(total)}`, bytes / total);
    } else if (step === "sending") say("Sent; the service is scoring", " …");
    else if (step === "receiving") say("Receiving answers", `: ${megabytes(bytes)}`);
    else say("Counting", `: ${rows.toLocaleString("en")} rows`);
  }

  function start() {
    element.hidden = false;
    say("Sending", " …");
  }

  function end(outcome) {
    element.hidden = true;
    said.textContent = outcome;
  }

  return { elements: [element, said], show, start, end };
}

/** Format a size. */
export function megabytes(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1000).toLocaleString("en")} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
