/** The scoring of one table by a web worker. */

import { Problem } from "../../api.js";

/** Thrown for an answer that was cut off: the service found an error after it had begun. */
export class CutOff extends Error {}

/**
 * Score a file. The promise gives { summary, blob, model, threshold }, or raises Problem, CutOff
 * or, after `signal` aborts, an AbortError.
 *
 * `call` is { path, file, media, accept, read }; `read: false` leaves the summary out.
 * `onProgress` takes { step: "sending" | "receiving" | "reading", … }, see worker.js.
 */
export function score(call, { signal, onProgress }) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers();
  worker.onmessage = ({ data }) => {
    if (data.step === "done") resolve(data);
    else if (data.step === "cut") reject(new CutOff("the answer broke off"));
    else if (data.step === "refused") reject(new Problem({ status: data.status, ...data.problem }));
    else onProgress(data);
  };
  worker.onerror = ({ message }) => reject(new Problem({ detail: message || "the worker failed" }));
  signal.addEventListener("abort", () => reject(signal.reason));
  const { path, ...rest } = call;
  worker.postMessage({ url: new URL(path, document.baseURI).href, ...rest });
  return promise.finally(() => worker.terminate());
}
