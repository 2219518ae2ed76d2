/** The download of the scored file. */

import { aborted } from "../../api.js";
import { download as save } from "../../csv.js";
import { h, replace } from "../../dom.js";
import { failure } from "../../notices.js";
import { formatOf, scoredName, shownAs } from "./formats.js";
import { score } from "./job.js";
import { megabytes } from "./progress.js";

/** Create a button that saves `blob` under a name. */
export function saving(blob, name, { title = `Download ${name}`, ...attributes } = {}) {
  return h("button", { type: "button", ...attributes, onclick: () => save(blob, name) }, title);
}

/**
 * Create the download of the scored `file`: `blob`, if it is in the file's format, else a second
 * call, made on a click. `signal` stops that call.
 */
export function scoredFile({ file, blob, call, signal }) {
  const given = formatOf(file.name);
  const name = scoredName(file.name);
  if (shownAs(given) === given) {
    const size = h("span", { class: "quiet" }, megabytes(blob.size));
    return h("p", { class: "row" }, saving(blob, name, { class: "primary" }), size);
  }
  const button = h("button", { type: "button", class: "primary", onclick: make }, `Download ${name}`);
  const said = h("p", { class: "quiet", role: "status" });
  const wrong = h("div");
  return h(
    "div",
    { class: "download" },
    h("p", { class: "row" }, button, said),
    h(
      "p",
      { class: "quiet" },
      `A browser cannot read ${given.name}, so what you see came as ${shownAs(given).name}. ` +
        `For the file in ${given.name} the table is sent and scored a second time.`,
    ),
    wrong,
  );

  async function make() {
    button.disabled = true;
    replace(wrong);
    said.textContent = "The service is making it …";
    try {
      const { blob: made } = await score(call, { signal, onProgress: () => {} });
      save(made, name);
      said.textContent = `Made: ${megabytes(made.size)}`;
    } catch (error) {
      said.textContent = "";
      if (!aborted(error)) replace(wrong, failure(error));
    } finally {
      button.disabled = false;
    }
  }
}
