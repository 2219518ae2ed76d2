/** What a network is for, and what it is not, in the words of its card. */

import { h } from "../../dom.js";

/** Empty until the card has come, and for good where there is none. */
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
