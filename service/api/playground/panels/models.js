/** The panel "Models": an overview, and a page for each model card. */

import { aborted } from "../api.js";
import { h, replace } from "../dom.js";
import { overview } from "./models/overview.js";
import { page } from "./models/page.js";
import { failure } from "../notices.js";
import { answersOf } from "../schema.js";
import { snippet } from "../snippet.js";

export function mount(root, { tasks, schema, api, argument }) {
  const under = new AbortController();
  // Show the heading at once, and the rest when the answer has come.
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

  /** Return the names of the classes: of a decision, those of no and of yes. */
  function namesOf({ card }) {
    if (!card) return [];
    if (card.contract.labels.length) return card.contract.labels;
    const task = tasks.find(({ name }) => name === card.task);
    if (!task) return ["no", "yes"];
    const [{ properties }] = answersOf(schema, task.predict);
    // Fields that every task's answers have come first, the task's own decision after them.
    const decision = Object.keys(properties).findLast((name) => properties[name].type === "boolean");
    return [`no ${decision}`, decision];
  }
}
