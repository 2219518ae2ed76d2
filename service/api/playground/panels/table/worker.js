/*
 * Sends one table to the service and reads the answers, off the page's own thread.
 *
 * In: `{ file, media, accept, url, read }`. Out, as it goes on: `{ step: "sending", bytes, total }`,
 * `{ step: "receiving", bytes }`, `{ step: "reading", rows }`, and one of
 * `{ step: "done", summary, blob, model, threshold }`, `{ step: "refused", status, problem }`,
 * `{ step: "cut" }` at the end. To cancel, terminate it: the service notices the disconnect.
 *
 * It uses XMLHttpRequest, because fetch does not report the progress of an upload.
 */

import { CsvRows, NdjsonRows } from "./rows.js";
import { Summary } from "./summary.js";

const OFTEN = 100; // milliseconds between two reports of progress

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
    postMessage({ step: "refused", status: request.status, problem: { detail: String(error) } });
  });
  request.send(data.file);
};

async function answered(request, { accept, read }) {
  const { status, response: blob } = request;
  if (status !== 200) {
    postMessage({ step: "refused", status, problem: await problemOf(blob) });
    return;
  }
  const summary = read ? await summaryOf(blob, accept) : null;
  const model = request.getResponseHeader("X-Model");
  const threshold = Number(request.getResponseHeader("X-Threshold"));
  postMessage({ step: "done", summary, blob, model, threshold });
}

async function problemOf(blob) {
  const text = await blob.text();
  try {
    return JSON.parse(text);
  } catch {
    return { detail: text.slice(0, 300) || "the answer was empty" };
  }
}

async function summaryOf(blob, media) {
  const rows = media === "text/csv" ? new CsvRows() : new NdjsonRows();
  const summary = new Summary();
  const say = seldom(() => postMessage({ step: "reading", rows: summary.rows }));
  const reader = blob.stream().pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    for (const row of done ? rows.end() : rows.push(value)) summary.add(row);
    if (done) return { ...summary };
    say();
  }
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
