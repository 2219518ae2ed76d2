/** What the page has to say about itself. */

import { h } from "./dom.js";

/** A calm remark. */
export function notice(...children) {
  return h("p", { class: "notice" }, ...children);
}

/** Something went wrong; screen readers say it at once. */
export function failure(error) {
  return h(
    "div",
    { class: "error", role: "alert" },
    h("p", {}, error.detail ?? error.message),
    error.errors?.length > 1 &&
      h(
        "ul",
        {},
        error.errors.map((e) => h("li", {}, `${e.field}: expected ${e.expected}, got ${e.got}`)),
      ),
    error.requestId && h("p", { class: "quiet" }, "Request ", h("code", {}, error.requestId)),
  );
}
