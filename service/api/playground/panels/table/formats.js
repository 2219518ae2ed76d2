/* The formats of tables, recognised by the name of a file, and their media types. */

const CSV = { name: "CSV", media: "text/csv", suffix: ".csv", readable: true };
const NDJSON = { name: "NDJSON", media: "application/x-ndjson", suffix: ".ndjson", readable: true };
const JSON_ARRAY = { name: "JSON", media: "application/json", suffix: ".json" };
const PARQUET = { name: "Parquet", media: "application/vnd.apache.parquet", suffix: ".parquet" };
const ARROW = { name: "Arrow", media: "application/vnd.apache.arrow.stream", suffix: ".arrows" };

const BY_SUFFIX = {
  ".csv": CSV,
  ".ndjson": NDJSON,
  ".jsonl": NDJSON,
  ".json": JSON_ARRAY,
  ".parquet": PARQUET,
  ".arrow": ARROW,
  ".arrows": ARROW,
  ".feather": ARROW,
};

export const SUFFIXES = Object.keys(BY_SUFFIX);

/** Thrown for a file that cannot be sent; its message says why. */
export class UnknownFormat extends Error {}

/** Return the format by a file's name. Throws UnknownFormat. */
export function formatOf(name) {
  if (name.toLowerCase().endsWith(".gz")) {
    throw new UnknownFormat(
      `${name} is compressed: unpack it first, or use “foretell score”, which reads .csv.gz`,
    );
  }
  const suffix = SUFFIXES.find((known) => name.toLowerCase().endsWith(known));
  if (suffix === undefined) {
    throw new UnknownFormat(`expected a file that ends in ${SUFFIXES.join(", ")}, got ${name}`);
  }
  return BY_SUFFIX[suffix];
}

/** Throw UnknownFormat for an Arrow IPC file, which has the suffixes of a stream. */
export async function refuseArrowFile(file) {
  if (formatOf(file.name) === ARROW && (await file.slice(0, 6).text()) === "ARROW1") {
    throw new UnknownFormat(
      `${file.name} is an Arrow file; over HTTP the service reads Arrow streams. ` +
        "“foretell score” reads both",
    );
  }
}

/**
 * Return the format in which this page requests the answers to a file.
 *
 * CSV and NDJSON can be parsed here. For other tables the page requests CSV, which
 * the service writes ten times as quickly, and for objects NDJSON, which keeps nested values.
 */
export function shownAs(given) {
  if (given.readable) return given;
  return given === JSON_ARRAY ? NDJSON : CSV;
}

/** Return the name of the scored file: book.csv becomes book-scored.csv. */
export function scoredName(name) {
  const dot = name.lastIndexOf(".");
  return `${name.slice(0, dot)}-scored${name.slice(dot)}`;
}
