/** The calls that score a table: the page's own, and those to be copied. */

import { h } from "../../dom.js";
import { snippet } from "../../snippet.js";
import { formatOf, scoredName, shownAs } from "./formats.js";

/** Return the call for job.js that scores a file in a format that this page can read. */
export function callFor(task, model, file) {
  const given = formatOf(file.name);
  return { path: pathOf(task, model), file, media: given.media, accept: shownAs(given).media, read: true };
}

/** Return the call that scores a file in the file's own format. */
export function callForFile(task, model, file) {
  return { ...callFor(task, model, file), accept: formatOf(file.name).media, read: false };
}

/** Return the call that answers after the last row was checked, so that an error has a message. */
export function callForReason(task, model, file) {
  return { ...callFor(task, model, file), path: pathOf(task, model, "refuse"), read: false };
}

/** Create cards with the call as curl, as Python and as a command without a server. */
export function cardsOf(task, model, name) {
  const { media } = formatOf(name);
  const output = scoredName(name);
  const other = model === task.name ? "" : ` --model ${model}`;
  const command =
    `foretell score ${task.name} ${quoted(name)} -o ${quoted(output)} --on-error report${other}`;
  return [
    snippet({ path: pathOf(task, model), file: name, type: media, accept: media, output }),
    h(
      "section",
      { class: "card", "aria-label": "Without a server" },
      h("h2", {}, "The same without a server"),
      h(
        "div",
        { class: "listing" },
        h("pre", { tabindex: 0, role: "region", "aria-label": "The command" }, h("code", {}, command)),
      ),
    ),
  ];
}

function pathOf(task, model, onError = "report") {
  const other = model === task.name ? "" : `&model=${encodeURIComponent(model)}`;
  return `v1/${task.name}/predict/batch?on_error=${onError}${other}`;
}

/** Quote a text for a POSIX shell; plain names stay unchanged. */
function quoted(name) {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}
