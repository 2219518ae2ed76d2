/** The download of the scored file. */

import { aborted } from "../../api.js";
import { download as save } from "../../csv.js";
import { h, replace } from "../../dom.js";
import { failure } from "../../notices.js";
import { megabytes } from "./progress.js";

/** Create a button that saves `blob` under a name. */
export function saving(blob, name, { title = `Download ${name}`, ...attributes } = {}) {
  return h("button", { type: "button", ...attributes, onclick: () => save(blob, name) }, title);
}

/**
 * Create the download of a scored file under a name. `make` is called on a click and promises its
 * Blob; `words` are elements about it.
 */
export function scoredFile({ name, make, words }) {
  const button = h("button", { type: "button", class: "primary", onclick: made }, `Download ${name}`);
  const said = h("p", { class: "quiet", role: "status" });
  const wrong = h("div");
  return h("div", { class: "download" }, h("p", { class: "row" }, button, said), words, wrong);

  async function made() {
    button.disabled = true;
    replace(wrong);
    said.textContent = "It is being made …";
    try {
      const blob = await make();
      save(blob, name);
      said.textContent = `Made: ${megabytes(blob.size)}`;
    } catch (error) {
      said.textContent = "";
      if (!aborted(error)) replace(wrong, failure(error));
    } finally {
      button.disabled = false;
      button.focus({ preventScroll: true }); // which a disabled button has lost
    }
  }
}
