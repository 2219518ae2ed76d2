/*
 * Sends one table to the service and reads the answers, off the page's own thread.
 *
 * In: `{ file, media, accept, url, read }`. Out, as it goes on: `{ step: "sending", bytes, total }`,
 * `{ step: "receiving", bytes }`, `{ step: "reading", rows }`, and one of
 * `{ step: "done", summary, end, blob, model, threshold }`, `{ step: "refused", status, problem }`,
 * `{ step: "cut", reason }` at the end. To cancel, terminate it: the service notices the disconnect.
 *
 * It uses XMLHttpRequest, because fetch does not report the progress of an upload.
 */

import { isWhole } from "./ends.js";
import { linesOf, rowOf } from "./rows.js";
import { Summary } from "./summary.js";

const OFTEN = 100; // milliseconds between two reports of progress

/** Thrown for an answer without its end, though it ended in good order: some proxies do that. */
class CutShort extends Error {}

onmessage = ({ data }) => {
  const request = new XMLHttpRequest();
  request.open("POST", data.url);
  request.setRequestHeader("Content-Type", data.media);
  request.setRequestHeader("Accept", data.accept);
  request.responseType = "blob"; // which a browser keeps on disk if it is large
  request.upload.onprogress = seldom(({ loaded, total }) =>
    postMessage({ step: "sending", bytes: loaded, total }),
  );
  request.onprogress = seldom(({ loaded }) => postMessage({ step: "receiving", bytes: loaded }));
  request.onerror = () => postMessage({ step: "cut" });
  request.onload = () => answered(request, data).catch((error) => {
    if (error instanceof CutShort) postMessage({ step: "cut", reason: error.message });
    else postMessage({ step: "refused", status: request.status, problem: { detail: String(error) } });
  });
  request.send(data.file);
};

async function answered(request, { accept, read }) {
  const { status, response } = request;
  if (status !== 200) {
    postMessage({ step: "refused", status, problem: await problemOf(response) });
    return;
  }
  if (!read && !(await isWhole(response, accept))) throw new CutShort("the file has no end");
  const found = read ? await summedUp(response) : { blob: response };
  const model = request.getResponseHeader("X-Model");
  const threshold = Number(request.getResponseHeader("X-Threshold"));
  postMessage({ step: "done", ...found, model, threshold });
}

async function problemOf(blob) {
  const text = await blob.text();
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) || "the answer was empty" };
  }
}

/**
 * Sum up the rows, and take the record of the end off them: `{ summary, end, blob }`. Throws
 * CutShort without that record, or if it counts other rows than came.
 */
async function summedUp(blob) {
  const summary = new Summary();
  const say = seldom(() => postMessage({ step: "reading", rows: summary.rows }));
  let last = null;
  for await (const lines of linesOf(blob)) {
    for (const line of lines) {
      if (last !== null) summary.add(parsed(last, summary.rows));
      last = line;
    }
    say();
  }
  const { end } = parsed(last ?? "{}", summary.rows);
  if (end?.rows !== summary.rows) throw new CutShort(howFar(summary.rows, end));
  const size = blob.size - new TextEncoder().encode(`${last}\n`).length;
  return { summary: { ...summary }, end, blob: blob.slice(0, size) };
}

/** Parse a line. The service writes why it broke off on a line that is no JSON. */
function parsed(line, rows) {
  try {
    return rowOf(line);
  } catch {
    throw new CutShort(`${howFar(rows)} It ends in: ${line.slice(0, 300)}`);
  }
}

function howFar(rows, end) {
  const all = end ? ` of ${end.rows.toLocaleString("en")}` : "";
  return `${rows.toLocaleString("en")}${all} rows came back, and then it ended.`;
}

function seldom(say) {
  let last = 0;
  return (event) => {
    const now = performance.now();
    if (now - last < OFTEN && event?.loaded !== event?.total) return;
    last = now;
    say(event);
  };
}
