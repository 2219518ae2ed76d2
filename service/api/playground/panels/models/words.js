/** Names and explanations of a card's figures. */

import { h } from "../../dom.js";

/** The words for each metric, and their explanation. */
export const METRICS = {
  accuracy: ["Accuracy", "share of answers that are right"],
  auc: ["AUC", "1 tells all apart, 0.5 is chance"],
  log_loss: ["Log-loss", "in nats; less is better"],
  brier: ["Brier score", "mean squared error of the probability; less is better"],
  ece: ["Expected calibration error", "mean distance of what is said from what is found; less is better"],
  calibration_slope: ["Calibration slope", "1 is right; below 1, too sure of itself; above, too timid"],
  ks: ["Kolmogorov-Smirnov distance", "of the scores of the two classes; 1 tells all apart"],
};

/** Format a number with some digits after the point. */
export function figures(value, digits = 4) {
  return value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** Create a description list of terms; those without a description are left out. */
export function facts(pairs, name = "facts") {
  return h(
    "dl",
    { class: name },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
  );
}

/** Create a card of the page with a heading. */
export function section(id, title, ...content) {
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), content);
}

/** Create a badge for a state, with a word besides the colour. */
export function badge(state) {
  return h("span", { class: `badge ${state === "ready" ? "good" : "other"}` }, state);
}

/** Return the address of the page of a model or of one of its versions. */
export function pageOf(name, version) {
  return `#models/${encodeURIComponent(name)}${version ? `/${version}` : ""}`;
}

export function link(address) {
  return h("a", { href: address, rel: "noopener noreferrer" }, address);
}

/** Format a duration, as in "in 27.3 µs". */
export function microseconds(value) {
  return `${figures(value, 1)} µs`;
}

export function plain(number) {
  return number.toLocaleString("en");
}
