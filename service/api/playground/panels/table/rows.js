/* The lines of the service's NDJSON: read in pieces, as answers may be larger than memory. */

/** Numbers that a float of JavaScript does not hold: 16 digits and more. */
const LARGE = /[:[,]-?\d{16,}[,}\]]/;
const PAIR = /"((?:[^"\\]|\\.)*)":(?:"(?:[^"\\]|\\.)*"|[^,}]*)/g;

/** Yield the lines of a Blob, as arrays of those that one piece completes. */
export async function* linesOf(blob) {
  const reader = blob.stream().pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield lines;
  }
  if (rest) yield [rest];
}

/** Parse one line; numbers that would be rounded stay texts, where the browser knows how. */
export function rowOf(line) {
  return LARGE.test(line) ? JSON.parse(line, exact) : JSON.parse(line);
}

/** Return the names of a flat row in the order of its text: objects would put `2021` first. */
export function namesOf(line) {
  return [...line.matchAll(PAIR)].map(([, name]) => JSON.parse(`"${name}"`));
}

function exact(_, value, context) {
  const rounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return rounded && context?.source ? context.source : value;
}
