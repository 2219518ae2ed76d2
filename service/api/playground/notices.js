/** Notices of the page: remarks and errors. */

import { h } from "./dom.js";

/** Create a remark, which is not an error. */
export function notice(...children) {
  return h("p", { class: "notice" }, ...children);
}

/** Create an error, which screen readers announce at once. */
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
