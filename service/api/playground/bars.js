/** Probabilities as bars. */

import { h } from "./dom.js";
import { percent } from "./format.js";

/**
 * Create bars under each other, one for each of `labels`. `show(shares, chosen)` sets their lengths
 * (0..1, or null for none) and highlights one of them.
 */
export function bars(labels) {
  const rows = labels.map((label) => {
    const fill = h("span", { class: "fill" });
    const value = h("span", { class: "value" });
    const row = h(
      "li",
      {},
      h("span", { class: "label" }, label),
      h("span", { class: "track" }, fill),
      value,
    );
    return { row, fill, value };
  });

  function show(shares, chosen) {
    rows.forEach(({ row, fill, value }, place) => {
      const share = shares?.[place];
      fill.style.inlineSize = `${(share ?? 0) * 100}%`;
      value.textContent = share === undefined ? "" : percent(share);
      row.classList.toggle("chosen", place === chosen);
    });
  }

  return Object.assign(
    h(
      "ol",
      { class: "bars" },
      rows.map(({ row }) => row),
    ),
    { show },
  );
}
