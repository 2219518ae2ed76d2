/** Answers as one types or draws. */

import { aborted } from "./api.js";

/**
 * A function that takes work and does only the latest.
 *
 * Work is begun once nothing newer has come for `pause` ms, or `longest` ms after something came
 * that is still not begun; then what is under way is aborted. `work(signal)` is not awaited by the
 * caller. `cancel()` drops what waits and aborts what is under way.
 */
export function latest(pause, longest = Infinity) {
  let timer;
  let waitingSince;
  let controller;

  function ask(work) {
    clearTimeout(timer);
    const now = performance.now();
    waitingSince ??= now;
    timer = setTimeout(begin, Math.min(pause, Math.max(0, waitingSince + longest - now)), work);
  }

  async function begin(work) {
    ask.cancel();
    const { signal } = (controller = new AbortController());
    try {
      await work(signal);
    } catch (error) {
      if (!aborted(error)) throw error;
    }
  }

  ask.cancel = () => {
    clearTimeout(timer);
    waitingSince = undefined;
    controller?.abort();
  };
  return ask;
}
