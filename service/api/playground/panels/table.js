/** The panel "Many rows": a file is scored, summed up and downloaded. */

import { aborted } from "../api.js";
import { h, replace } from "../dom.js";
import { failure, notice } from "../notices.js";
import { resolved } from "../schema.js";
import { callFor, callForFile, callForReason, cardsOf } from "./table/calls.js";
import { chooser } from "./table/chooser.js";
import { scoredFile } from "./table/download.js";
import { refuseArrowFile } from "./table/formats.js";
import { CutOff, score } from "./table/job.js";
import { progress } from "./table/progress.js";
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
    signal: mounted.signal,
  });
  const way = progress(() => stop());
  const found = h("div", { class: "panel" });
  const calls = h("div", { class: "panel" });
  let under = new AbortController();
  let name = null;
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
    if (files.length === 1) run(files[0]);
    else if (files.length) replace(found, failure({ detail: `expected one file, got ${files.length}` }));
  }

  async function run(file) {
    stop();
    const { signal } = (under = new AbortController());
    const options = { signal, onProgress: way.show };
    const call = [chosen.task(), chosen.model(), file];
    replace(found);
    way.start();
    try {
      await refuseArrowFile(file);
      name = file.name;
      showCalls();
      const started = performance.now();
      const answer = await scored(call, options);
      if (signal.aborted) return;
      const seconds = (performance.now() - started) / 1000;
      const saved = scoredFile({ file, blob: answer.blob, call: callForFile(...call), signal });
      replace(found, results({ ...answer, name: file.name, seconds, download: saved }));
      way.end(`${answer.summary.rows} rows are scored`);
      document.getElementById("scored").focus({ preventScroll: true });
    } catch (error) {
      if (under.signal !== signal) return; // another file is on its way
      way.end("");
      if (aborted(error)) replace(found, notice("Cancelled: nothing was kept."));
      else replace(found, h("h2", {}, `${file.name} was refused`), failure(error));
    }
  }

  function showCalls() {
    const task = chosen.task();
    replace(calls, cardsOf(task, chosen.model(), name ?? `${task.name}-example.csv`));
  }
}

/** Return the answers. If they are cut off, a second call that checks all rows has the reason. */
async function scored(call, options) {
  try {
    return await score(callFor(...call), options);
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
  }
  try {
    await score(callForReason(...call), options);
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
  }
  throw new Error("The connection broke off. Is the service running? Try again.");
}

/** Return the schema of one row, the object that /predict takes. */
function payloadOf(schema, { predict }) {
  const node = predict.requestBody.content["application/json"].schema;
  return (node.anyOf ?? [node]).map((kind) => resolved(schema, kind)).find((kind) => kind.properties);
}
