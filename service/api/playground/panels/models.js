/** Models: all of them at a glance, and each card as a page. */

import { aborted } from "../api.js";
import { h, replace } from "../dom.js";
import { overview } from "./models/overview.js";
import { page } from "./models/page.js";
import { failure } from "../notices.js";
import { answersOf } from "../schema.js";
import { snippet } from "../snippet.js";

export function mount(root, { tasks, schema, api, argument }) {
  const under = new AbortController();
  // A heading at once; the rest when the answer is there.
  root.append(h("h1", {}, argument ? argument.split("/")[0] : "Models"));
  show().catch((error) => {
    if (!aborted(error)) root.append(failure(error), h("p", {}, h("a", { href: "#models" }, "All models")));
  });
  return () => under.abort();

  async function show() {
    const options = { signal: under.signal };
    if (!argument) {
      const models = await api.get("v1/models", options);
      root.append(
        h("p", { class: "lead" }, "What answers here, what it learned from, how good it is and what it is not for."),
        overview(models),
        snippet({ path: "v1/models" }),
      );
      return;
    }
    const [name, version] = argument.split("/");
    document.title = `${argument} · Models · Foretell`;
    const query = version ? `?version=${encodeURIComponent(version)}` : "";
    const path = `v1/models/${encodeURIComponent(name)}`;
    const model = await api.get(`${path}${query}`, options);
    replace(root, page(model, namesOf(model), version));
  }

  /** The names of the classes, of no and of yes. */
  function namesOf({ card }) {
    if (!card) return [];
    if (card.contract.labels.length) return card.contract.labels;
    const task = tasks.find(({ name }) => name === card.task);
    if (!task) return ["no", "yes"];
    const [{ properties }] = answersOf(schema, task.predict);
    // What every task's answers have comes first, a task's own decision after it.
    const decision = Object.keys(properties).findLast((name) => properties[name].type === "boolean");
    return [`no ${decision}`, decision];
  }
}
