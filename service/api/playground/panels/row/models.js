/** The choice of one of a task's models, with its intended use. */

import { Problem } from "../../api.js";
import { h, replace, unique } from "../../dom.js";

/**
 * Create {element, intent, query}: a list, shown when there are several models; the intended use
 * in the chosen model's card; `query()` returns the call's query for it.
 *
 * `wanted` is the name of the model to begin with, "" for the task's own. The choice is kept in the
 * page's address.
 */
export function modelsOf(api, task, wanted, changed) {
  const select = h("select", { id: unique("model"), onchange: choose });
  const element = h(
    "div",
    { class: "model", hidden: true },
    h("label", { for: select.id }, "Model"),
    select,
  );
  const intent = h("p", { class: "intent" }, task.predict.description);
  offer([...new Set([task.name, wanted || task.name])]);
  select.value = wanted || task.name;

  function offer(names) {
    const chosen = select.value;
    replace(
      select,
      names.map((name) => h("option", { value: name }, name)),
    );
    if (names.includes(chosen)) select.value = chosen;
    element.hidden = names.length < 2;
  }

  function choose() {
    const rest = select.value === task.name ? "" : `/${encodeURIComponent(select.value)}`;
    history.replaceState(null, "", `#${task.name}${rest}`);
    describe();
    changed();
  }

  async function describe() {
    const name = select.value;
    const { card } = await told(`v1/models/${encodeURIComponent(name)}`, {});
    if (card && name === select.value) {
      const more = h("a", { href: `#models/${encodeURIComponent(name)}` }, "More on this model");
      replace(intent, card.intended_use, " ", card.limits, " ", more);
    }
  }

  async function list() {
    const models = await told("v1/models", []);
    const names = models.filter((model) => model.task === task.name && model.ready);
    offer([...new Set([task.name, ...names.map(({ name }) => name), select.value])]);
  }

  /** Load the models and cards; the form works without them. */
  async function told(path, otherwise) {
    try {
      return await api.get(path);
    } catch (error) {
      if (error instanceof Problem) return otherwise;
      throw error;
    }
  }

  list();
  describe();
  return {
    element,
    intent,
    query: () => (select.value === task.name ? "" : `model=${encodeURIComponent(select.value)}`),
  };
}
