/** The page of one version of a model. */

import { h } from "../../dom.js";
import { snippet } from "../../snippet.js";
import { labelsOf, shadowOf } from "./overview.js";
import * as quality from "./quality.js";
import * as sections from "./sections.js";
import { badge, facts, microseconds, pageOf } from "./words.js";

/** Create it from `model` of `GET /v1/models/{name}` and `wanted`, a version or label. */
export function page(model, names, wanted) {
  const { card } = model;
  return [
    h(
      "nav",
      { "aria-label": "Where this is" },
      h("a", { href: "#models" }, h("span", { "aria-hidden": "true" }, "← "), "All models"),
    ),
    h(
      "div",
      { class: "row spread" },
      h("h1", {}, card ? `${card.title}: ${model.name}` : model.name),
      badge(model.ready ? "ready" : "not ready"),
    ),
    model.reason && h("p", { class: "warning" }, model.reason),
    card && card.version !== model.version && h(
      "p",
      { class: "notice" },
      `This is version ${card.version}. Calls that name none are answered by `,
      model.version ? "version " : "none: the model is not ready",
      model.version && h("a", { href: pageOf(model.name) }, model.version),
      ".",
    ),
    served(model),
    card && [
      sections.purpose(card),
      quality.performance(card, names),
      quality.confidence(card),
      sections.data(card),
      sections.training(card),
      sections.contract(card),
      sections.files(card),
    ],
    sections.versions(model, card?.version),
    snippet({ path: `v1/models/${model.name}${wanted ? `?version=${encodeURIComponent(wanted)}` : ""}` }),
  ];
}

/** Create the section on how the version is served now, if it is. */
function served(model) {
  const { card } = model;
  const answers = card !== null && card.version === model.version;
  return h(
    "section",
    { class: "card", "aria-label": "At a glance" },
    facts([
      ["Version", card?.version],
      ["Threshold", card && !card.contract.labels.length ? card.threshold : null],
      ["Recipe", card?.training.recipe],
      ["Provider", answers ? model.provider : null],
      ["One row, here", answers ? microseconds(model.row_us) : null],
      ["Loaded in", answers ? `${model.load_ms.toLocaleString("en")} ms` : null],
      ["Runs", answers ? (model.runs_on_event_loop ? "on the event loop" : "in a thread") : null],
      ["Rows of several callers", answers ? batched(model.batching) : null],
      ["Labels", labelsOf(model)],
      ["Shadow", shadowOf(model.shadow)],
    ]),
  );
}

function batched({ on, buckets }) {
  return on ? `together, up to ${buckets.at(-1)} in a run` : "each by itself";
}
