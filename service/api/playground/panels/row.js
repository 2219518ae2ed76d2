/** The panel of a table task: a form for one row, its answer and its explanation. */

import { Problem } from "../api.js";
import { h, replace } from "../dom.js";
import { latest } from "../latest.js";
import { answerOf } from "./row/answer.js";
import { callsOf } from "./row/calls.js";
import { explainedOf } from "./row/explained.js";
import { decisionOf, rowOf } from "./row/fields.js";
import { formOf } from "./row/form.js";
import { kept } from "./row/kept.js";
import { modelsOf } from "./row/models.js";
import { messagesOf, payloadOf, textOf, textsOf, warningsOf } from "./row/values.js";

/** Milliseconds without a key before a call. */
const PAUSE = 200;
const NONE = new Map();

export function mount(root, { task, schema, api, argument }) {
  const row = rowOf(schema, task);
  const { fields } = row;
  const example = textsOf(fields, row.example);
  const nothing = Object.fromEntries(
    [...fields.values()].filter(({ optional }) => optional).map(({ name }) => [name, ""]),
  );
  const memory = kept(task.name);
  const ask = latest(PAUSE);
  let split = null;

  const form = formOf(row, edited);
  const models = modelsOf(api, task, argument, changed);
  const answer = answerOf(decisionOf(schema, task));
  const explained = explainedOf(fields, { apply, split: divide });
  const calls = callsOf(callOf, task);
  const applied = h("div", { class: "row", role: "status" });

  function callOf(what) {
    const query = [models.query(), what === "explain" && split && `split=${split}`].filter(Boolean);
    const path = `v1/${task.name}/${what}${query.length ? `?${query.join("&")}` : ""}`;
    return { path, json: payloadOf(fields, form.read()) };
  }

  function edited() {
    replace(applied);
    changed();
  }

  function changed() {
    memory.keep(form.read());
    answer.wait();
    explained.wait();
    request();
  }

  function divide(factor) {
    split = factor;
    request();
  }

  function request() {
    calls.show();
    ask.cancel(); // an answer to an earlier row must not be shown
    ask(answered);
  }

  async function answered(signal) {
    try {
      const { path, json } = callOf("predict");
      const prediction = await api.post(path, { json, signal });
      const { byField, others } = warningsOf(fields, prediction.warnings);
      form.show(NONE, byField);
      answer.show(prediction, others);
    } catch (problem) {
      refused(problem);
      return;
    }
    if (!task.explain) return;
    try {
      const { path, json } = callOf("explain");
      explained.show(await api.post(path, { json, signal }));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      explained.refuse(problem);
    }
  }

  function refused(problem) {
    if (!(problem instanceof Problem)) throw problem;
    const { byField, others } = messagesOf(fields, problem);
    form.show(byField, NONE);
    const fieldsNamed = [...byField.keys()].map((name) => ({
      text: fields.get(name).title,
      go: () => form.focus(name),
    }));
    answer.refuse([...fieldsNamed, ...others.map((text) => ({ text }))]);
    explained.refuse(null);
  }

  function fill(texts) {
    form.write(texts);
    edited();
  }

  /** Apply a counterfactual and move the focus to its answer. */
  function apply(changes) {
    const before = form.read();
    fill(Object.fromEntries(Object.entries(changes).map(([name, to]) => [name, textOf(to)])));
    const back = () => (fill(before), answer.element.focus());
    replace(
      applied,
      "Applied.",
      h("button", { type: "button", class: "small", onclick: back }, "Take it back"),
    );
    answer.element.focus();
  }

  answer.element.append(applied);
  root.append(
    h("h1", {}, task.title),
    models.intent,
    h(
      "div",
      { class: "actions" },
      models.element,
      h("button", { type: "button", onclick: () => fill(example) }, "Example"),
      Object.keys(nothing).length > 0 &&
        h("button", { type: "button", onclick: () => fill(nothing) }, "Clear what may be missing"),
    ),
    h(
      "div",
      { class: "sides" },
      h("div", { class: "side" }, form.element, task.explain && explained.changes),
      h("div", { class: "side" }, answer.element, task.explain && explained.why),
    ),
    calls.element,
    h(
      "p",
      { class: "quiet" },
      "What stands in the form is kept in this tab until it is closed, ",
      "and sent to this service for its answer.",
    ),
  );
  fill({ ...example, ...memory.read() });
  return ask.cancel;
}
