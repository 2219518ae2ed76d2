/** The intended use and limits of a model, in the words of its card. */

import { h } from "../../dom.js";

/** Create an element that is empty until the card has come, and stays so without one. */
export function about({ api, name }) {
  const element = h("div", { class: "about" });
  fill();
  return element;

  async function fill() {
    try {
      const { card } = await api.get(`v1/models/${encodeURIComponent(name)}`);
      if (!card) return;
      element.append(
        h("h2", {}, "What it is for"),
        h(
          "p",
          { class: "quiet" },
          card.intended_use,
          " ",
          card.limits,
          " ",
          h("a", { href: `#models/${name}` }, "More on this network"),
        ),
      );
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
    }
  }
}
