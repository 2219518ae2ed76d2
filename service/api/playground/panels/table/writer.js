/*
 * Writes the scored file off the page's own thread.
 *
 * In: `{ answers, as, harmless }`. Out: the Blob.
 */

import { written } from "./writing.js";

onmessage = async ({ data: { answers, as, harmless } }) => {
  postMessage(await written(answers, as, harmless));
};
