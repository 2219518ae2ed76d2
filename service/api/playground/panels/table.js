/** The panel "Many rows": a file is scored, summed up and downloaded. */

import { aborted } from "../api.js";
import { h, replace } from "../dom.js";
import { failure, notice } from "../notices.js";
import { resolved } from "../schema.js";
import { callFor, callForFile, callForReason, cardsOf } from "./table/calls.js";
import { chooser } from "./table/chooser.js";
import { NONE } from "./table/choices.js";
import { scoredFile } from "./table/download.js";
import { fieldsOf } from "./table/example.js";
import { answerOf, isDelimited, refuseArrowFile, scoredName } from "./table/formats.js";
import { CutOff, score, write } from "./table/job.js";
import { progress } from "./table/progress.js";
import { refusal } from "./table/refusal.js";
import { results } from "./table/results.js";

export function mount(root, { tasks, schema, api, argument }) {
  const tables = tasks
    .filter(({ batch }) => batch)
    .map((task) => ({ ...task, payload: payloadOf(schema, task) }));
  const mounted = new AbortController();
  const chosen = chooser({
    tables,
    first: argument,
    api,
    onFiles: take,
    onChange: showCalls,
    onKeep: keepOthers,
    signal: mounted.signal,
  });
  const way = progress(() => stop());
  const found = h("div", { class: "panel" });
  const calls = h("div", { class: "panel" });
  let under = new AbortController();
  /** The order of what is shown, see calls.js. */
  let last = null;
  root.append(
    h("h1", {}, "Many rows"),
    h("p", { class: "lead" }, "Drop a table, see how its rows score, and take the scored file with you."),
    chosen.element,
    ...way.elements,
    found,
    calls,
  );
  chosen.start();
  return () => {
    mounted.abort();
    stop();
  };

  function stop() {
    under.abort();
  }

  function take(files) {
    if (files.length === 1) run({ ...chosen.order(), file: files[0], choices: NONE });
    else if (files.length) replace(found, failure({ detail: `expected one file, got ${files.length}` }));
  }

  function keepOthers() {
    showCalls();
    if (last) run({ ...last, ...chosen.ways() });
  }

  async function run(order) {
    stop();
    const { signal } = (under = new AbortController());
    const { file, choices } = order;
    const again = (others) => run({ ...order, ...chosen.ways(), choices: others });
    replace(found);
    way.start();
    try {
      await refuseArrowFile(file);
      last = order;
      showCalls();
      const started = performance.now();
      const answer = await scored(order, { signal, onProgress: way.show });
      if (signal.aborted) return;
      const seconds = (performance.now() - started) / 1000;
      replace(found, results({ ...answer, order, again, seconds, download: saved(order, answer, signal) }));
      way.end(outcome(answer.summary));
      document.getElementById("scored").focus({ preventScroll: true });
    } catch (error) {
      if (under.signal !== signal) return; // another file is on its way
      way.end("");
      if (aborted(error)) replace(found, notice("Cancelled: nothing was kept."));
      else {
        const fields = fieldsOf(order.task.payload);
        replace(found, refusal({ name: file.name, error, fields, choices, again }));
      }
    }
  }

  /** Create the download: written here where the answers have all of it, else by a second call. */
  function saved(order, { blob, summary }, signal) {
    const { file } = order;
    const format = answerOf(file.name);
    const here = format.written && (summary.rows > 0 || !isDelimited(format));
    const call = () => callForFile({ ...order, harmless: chosen.ways().harmless });
    return scoredFile({
      name: scoredName(file.name),
      make: here
        ? () => write(blob, format.written, chosen.ways().harmless, signal)
        : async () => (await score(call(), { signal, onProgress: () => {} })).blob,
      words: !format.written && h(
        "p",
        { class: "quiet" },
        `A browser cannot read ${format.name}, so what you see came as NDJSON. For the file in ` +
          `${format.name} the table is sent and scored a second time.`,
      ),
    });
  }

  function showCalls() {
    const order = chosen.order();
    const name = last?.file.name ?? `${order.task.name}-example.csv`;
    replace(calls, cardsOf({ ...order, choices: last?.task === order.task ? last.choices : NONE }, name));
  }
}

/** Return the answers. If they break off, a second call that checks all rows has the reason. */
async function scored(order, options) {
  try {
    return await score(callFor(order), options);
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
    if (error.reason) {
      throw new Error(
        `The answer was cut short: ${error.reason} No file is offered, because it would look whole. Try again.`,
      );
    }
  }
  try {
    await score(callForReason(order), options);
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
  }
  throw new Error("The connection broke off. Is the service running? Try again.");
}

/** Say how many rows are scored. */
function outcome({ rows, scored: good }) {
  const all = rows.toLocaleString("en");
  return good === rows ? `${all} rows are scored` : `${good.toLocaleString("en")} of ${all} rows are scored`;
}

/** Return the schema of one row, the object that /predict takes. */
function payloadOf(schema, { predict }) {
  const node = predict.requestBody.content["application/json"].schema;
  return (node.anyOf ?? [node]).map((kind) => resolved(schema, kind)).find((kind) => kind.properties);
}
