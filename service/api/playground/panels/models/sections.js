/** The sections of a model card's page. */

import { h } from "../../dom.js";
import { tableOf } from "../../plot.js";
import { saving } from "../table/download.js";
import { histories } from "./curves.js";
import { badge, facts, figures, link, microseconds, pageOf, plain, section } from "./words.js";

/** Create the section on intended use and limits, which comes before any figure. */
export function purpose({ intended_use: use, limits, licence }) {
  return section(
    "purpose",
    "Intended use and limits",
    h("p", {}, use),
    h("p", { class: "warning" }, h("strong", {}, "Limits: "), limits),
    h("p", { class: "quiet" }, `Licence: ${licence}`),
  );
}

/** Create the section on the training data. */
export function data({ data: from }) {
  return section(
    "data",
    "What it was trained on",
    facts([
      ["Data", from.name],
      ["Source", link(from.home)],
      ["Licence", from.licence],
      ["Citation", from.citation],
      ["Content", from.published ? "the published data set, verified" : "not the published content"],
      ["Split", from.split],
      ["Rows", Object.entries(from.rows).map(([part, rows]) => `${part} ${rows.toLocaleString("en")}`).join(", ")],
      ["Fingerprint", h("code", {}, from.fingerprint)],
    ], "facts words"),
  );
}

/** Create the section on the fit. */
export function training(card) {
  const { training: how, created, opset } = card;
  const libraries = Object.entries(how.libraries).map(([name, version]) => `${name} ${version}`);
  return section(
    "training",
    "How it was fitted",
    facts([
      ["Recipe", how.recipe],
      ["Parameters", how.parameters.toLocaleString("en")],
      ["Epochs", how.epochs.toLocaleString("en")],
      ["Took", `${figures(how.seconds, 1)} s`],
      ["On", how.device],
      ["Seed", how.seed],
      ["One row, when exported", microseconds(how.latency_us)],
      ["Created", created.replace("T", " ").replace("Z", " UTC")],
      ["ONNX opset", opset],
    ]),
    h("p", { class: "quiet" }, `With ${how.backend}: ${libraries.join(", ")}.`),
    h("div", { class: "columns figures" }, histories(card)),
  );
}

/** Create the section on the contract: inputs and outputs. */
export function contract({ contract: { input, outputs, features, labels }, confidence: said, contract_hash: hash }) {
  const seen = Object.fromEntries((said?.training_ranges ?? []).map((field) => [field.name, field]));
  const some = features.some(({ name }) => name in seen);
  const shapes = [input, ...outputs].map(({ name, dtype, shape }) => [
    name,
    `${dtype}[${shape.map((size) => size ?? "N").join(", ")}]`,
  ]);
  return section(
    "contract",
    "What goes in, what comes out",
    features.length > 0 && tableOf({
      name: "wide",
      caption: `Inputs of a row, in the order of the network`,
      columns: ["field", "values", "required", ...(some ? ["seen in training"] : [])],
      rows: features.map((field) => [
        field.name,
        field.kind === "code"
          ? codesOf(field).map(([code, words]) => `${code} = ${words}`).join(", ")
          : `${plain(field.low)} to ${plain(field.high)} ${field.unit}${field.zero_is_missing ? "; 0 is not recorded" : ""}`,
        field.required ? "yes" : "no",
        ...(some ? [sawOf(seen[field.name])] : []),
      ]),
      numbers: false,
    }),
    labels.length > 0 && h("p", {}, `Classes: ${labels.join(", ")}.`),
    tableOf({ caption: "Tensors of the graph, the input first", columns: ["name", "type"], rows: shapes, numbers: false }),
    h("p", { class: "quiet" }, "Hash of the contract ", h("code", {}, hash)),
  );
}

/** Sort entries by number: an object's own order is another where some are negative. */
function codesOf({ codes }) {
  return Object.entries(codes).sort(([one], [other]) => one - other);
}

function sawOf(field) {
  if (!field) return "";
  return field.codes.length ? field.codes.join(", ") : `${plain(field.low)} to ${plain(field.high)}`;
}

/** Create the section on all versions, with state and reason. */
export function versions(model, shown) {
  return section(
    "versions",
    "Versions",
    tableOf({
      caption: `Served: ${model.version_policy}. Calls that name none get ${model.version ?? "none"}.`,
      columns: ["version", "state", "labels", "why"],
      rows: model.states.map(({ version, state, labels, reason }) => [
        version === shown
          ? h("span", { "aria-current": "page" }, `${version} (this page)`)
          : h("a", { href: pageOf(model.name, version) }, version),
        badge(state),
        labels.join(", "),
        reason ?? "",
      ]),
      numbers: false,
    }),
  );
}

/** Create the section on the files' hashes, with a download of the card. */
export function files(card) {
  const text = `${JSON.stringify(card, null, 2)}\n`;
  const { golden } = card;
  return section(
    "files",
    "Files",
    tableOf({
      caption: "sha256 of each file; the service compares them before it serves a version",
      columns: ["file", "sha256"],
      rows: Object.entries(card.files).map(([name, hash]) => [name, h("code", {}, hash)]),
      numbers: false,
    }),
    h(
      "p",
      { class: "quiet" },
      `${golden.rows} golden answers of Keras are repeated to within ${golden.tolerance}: ${golden.reason}.`,
    ),
    h("p", {}, saving(new Blob([text], { type: "application/json" }), "card.json")),
  );
}
