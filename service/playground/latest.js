/** Answers as one types or draws. */

import { aborted } from "./api.js";

/**
 * A function that takes work and does only the latest: it waits `pause` ms for something later to
 * come, and aborts what is under way when it comes. `work(signal)` is not awaited by the caller.
 */
export function latest(pause) {
  let timer;
  let controller;

  function ask(work) {
    ask.cancel();
    const { signal } = (controller = new AbortController());
    timer = setTimeout(async () => {
      try {
        await work(signal);
      } catch (error) {
        if (!aborted(error)) throw error;
      }
    }, pause);
  }

  ask.cancel = () => {
    clearTimeout(timer);
    controller?.abort();
  };
  return ask;
}
