/** Work on one table by a web worker: its scoring, and the writing of the scored file. */

import { Problem } from "../../api.js";

/**
 * Thrown for an answer that was cut off: the service found an error after it had begun, or
 * something on the way ended it. `reason` says how far it came, if the answer looked whole.
 */
export class CutOff extends Error {
  constructor(reason) {
    super(reason ?? "the answer broke off");
    this.reason = reason;
  }
}

/**
 * Score a file. The promise gives { summary, end, blob, model, threshold }, or raises Problem,
 * CutOff or, after `signal` aborts, an AbortError.
 *
 * `call` is { path, file, media, accept, read }; `read: false` leaves out summary and end, which is
 * the service's record of what it made of the table. `onProgress` takes
 * { step: "sending" | "receiving" | "reading", … }, see worker.js.
 */
export function score(call, { signal, onProgress }) {
  const { path, ...rest } = call;
  const message = { url: new URL(path, document.baseURI).href, ...rest };
  return worked("./worker.js", message, signal, (data, resolve, reject) => {
    if (data.step === "done") resolve(data);
    else if (data.step === "cut") reject(new CutOff(data.reason));
    else if (data.step === "refused") reject(new Problem({ status: data.status, ...data.problem }));
    else onProgress(data);
  });
}

/** Write the scored file from the `answers` of `score`: a Blob. `as` and `harmless`: see writing.js. */
export function write(answers, as, harmless, signal) {
  return worked("./writer.js", { answers, as, harmless }, signal, (blob, resolve) => resolve(blob));
}

function worked(script, message, signal, take) {
  const worker = new Worker(new URL(script, import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers();
  worker.onmessage = ({ data }) => take(data, resolve, reject);
  worker.onerror = ({ message: said }) => reject(new Problem({ detail: said || "the worker failed" }));
  signal.addEventListener("abort", () => reject(signal.reason));
  worker.postMessage(message);
  return promise.finally(() => worker.terminate());
}
