/** The calls that score a table: the page's own, and those to be copied. */

import { h } from "../../dom.js";
import { snippet } from "../../snippet.js";
import { parametersOf } from "./choices.js";
import { answerOf, formatOf, isDelimited, scoredName } from "./formats.js";

const NDJSON = "application/x-ndjson";

/*
 * An `order` is { task, model, file, choices, keep, harmless }: `keep` is true for every column of
 * the file beside the answers, `harmless` for cells that no spreadsheet runs as formulas.
 */

/** Return the call for job.js that scores a file, answered as this page can read it. */
export function callFor(order) {
  // Columns come back only to be written here: JSON could not hold each of Parquet's, such as NaN.
  const kept = answerOf(order.file.name).written ? keeping(order) : [];
  const path = pathOf(order, "report", [...kept, ["end", "count"]]);
  return { path, file: order.file, media: formatOf(order.file.name).media, accept: NDJSON, read: true };
}

/** Return the call that scores a file in the file's own format. */
export function callForFile(order) {
  const { media } = answerOf(order.file.name);
  return { ...callFor(order), path: filePath(order, order.file.name), accept: media, read: false };
}

/** Return the call that answers after the last row was checked, so that an error has a message. */
export function callForReason(order) {
  return { ...callFor(order), path: pathOf(order, "refuse"), read: false };
}

/** Create cards with the call as curl, as Python and as a command without a server. */
export function cardsOf(order, name) {
  const { task, model } = order;
  const output = scoredName(name);
  const other = model === task.name ? "" : ` --model ${model}`;
  const command =
    `foretell score ${task.name} ${quoted(name)} -o ${quoted(output)} --on-error report${other}` +
    options(order, name);
  return [
    snippet({
      path: filePath(order, name),
      file: name,
      type: formatOf(name).media,
      accept: answerOf(name).media,
      output,
    }),
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

function filePath(order, name) {
  return pathOf(order, "report", fileParameters(order, name));
}

function fileParameters(order, name) {
  const escapes = order.harmless && isDelimited(answerOf(name));
  return [...keeping(order), ...(escapes ? [["formulas", "escape"]] : [])];
}

function keeping({ keep }) {
  return keep ? [["keep", "all"]] : [];
}

function pathOf({ task, model, choices }, onError, others = []) {
  const pairs = [
    ["on_error", onError],
    ...(model === task.name ? [] : [["model", model]]),
    ...parametersOf(choices),
    ...others,
  ];
  const query = pairs.map((pair) => pair.map(encodeURIComponent).join("="));
  return `v1/${task.name}/predict/batch?${query.join("&")}`;
}

/** Return the options of the command, which keeps every column and escapes formulas by default. */
function options({ choices, keep, harmless }, name) {
  const pairs = parametersOf(choices).map(([option, value]) => [option === "truth" ? "label" : option, value]);
  if (!keep) pairs.push(["keep", "others"]);
  if (!harmless && isDelimited(answerOf(name))) pairs.push(["formulas", "keep"]);
  return pairs.map(([option, value]) => ` --${option} ${quoted(value)}`).join("");
}

/** Quote a text for a POSIX shell; plain names stay unchanged. */
function quoted(name) {
  return /^[\w.=-]+$/.test(name) ? name : `'${name.replaceAll("'", `'\\''`)}'`;
}
