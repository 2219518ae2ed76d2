/** A card about one row, which is marked when the form has another row. */

import { h, replace } from "../../dom.js";

/**
 * Create {element, wait, show, refuse}. The content is hidden until `show`; from `wait` on (the row
 * has changed) it is marked as pending, from `refuse` on (there is no answer) as outdated.
 * An element given to `refuse` is shown above it and announced.
 */
export function stated(title, content) {
  const mark = h("span", { class: "mark" });
  const problem = h("div", { role: "status" });
  const given = h("div", { class: "given" }, content);
  const element = h(
    "section",
    { class: "card stated", "aria-label": title },
    h("div", { class: "head" }, h("h2", {}, title), mark),
    problem,
    given,
  );

  function state(now, text = "") {
    element.dataset.state = now;
    mark.textContent = text;
    given.hidden = now === "none";
    given.inert = now !== "current"; // a change for another row cannot be applied
  }

  state("none");
  return {
    element,
    wait() {
      if (element.dataset.state === "current") state("waiting", "answering …");
    },
    show() {
      replace(problem);
      state("current");
    },
    refuse(why) {
      replace(problem, why);
      if (element.dataset.state !== "none") state("outdated", "outdated");
    },
  };
}
