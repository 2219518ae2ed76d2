/** The overview of all models. */

import { h } from "../../dom.js";
import { percent } from "../../format.js";
import { badge, facts, microseconds, pageOf } from "./words.js";

/** Create a list with an entry for each model of `GET /v1/models`. */
export function overview(models) {
  return h(
    "ul",
    { class: "list" },
    models.map((model) =>
      h(
        "li",
        { class: "card" },
        h(
          "div",
          { class: "row spread" },
          h("h2", {}, h("a", { href: pageOf(model.name) }, model.name)),
          badge(model.ready ? "ready" : "not ready"),
        ),
        model.title && h("p", {}, model.title),
        model.reason && h("p", { class: "warning" }, model.reason),
        facts([
          ["Version", model.version],
          ["One row", model.row_us === null ? null : microseconds(model.row_us)],
          ["Provider", model.provider?.replace("ExecutionProvider", "")],
          ["Answers", model.task && (model.task === model.name ? "by default" : h("code", {}, `?model=${model.name}`))],
          ["On disk", versionsOf(model)],
          ["Labels", labelsOf(model)],
          ["Shadow", shadowOf(model.shadow)],
        ]),
      ),
    ),
  );
}

/** Format the labels of a model, with a canary's share of the calls. */
export function labelsOf({ labels, canaries }) {
  return Object.entries(labels)
    .map(([label, version]) => {
      const share = canaries[label];
      return `${label} → ${version}${share ? `, ${percent(share)} of calls` : ""}`;
    })
    .join("; ");
}

/** Describe the comparison with a shadow so far, in words. */
export function shadowOf(shadow) {
  if (!shadow) return null;
  const so = `version ${shadow.version}, ${percent(shadow.share)} of calls`;
  if (!shadow.rows) return `${so}; no row compared yet`;
  return `${so}; ${percent(shadow.agreement)} of ${shadow.rows.toLocaleString("en")} rows decided alike`;
}

function versionsOf({ states }) {
  return states.map(({ version, state }) => `${version} ${state}`).join(", ");
}
