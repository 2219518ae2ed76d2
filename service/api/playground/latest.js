/** Debouncing of calls while a person types or draws. */

import { aborted } from "./api.js";

/**
 * Return a function that takes work and does only the latest.
 *
 * Work begins once no newer work has come for `pause` ms, or `longest` ms after the first that
 * has not begun; then the work under way is aborted. `work(signal)` is not awaited by the
 * caller. `cancel()` drops work that waits and aborts work under way.
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
