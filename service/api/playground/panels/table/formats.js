/* The formats of tables, recognised by the name of a file, and their media types. */

const EXCEL_MEDIA = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/**
 * `media` is how the service knows a format. `written` says how this page writes the scored file
 * itself from the answers (see writing.js); other formats are made by a second call.
 */
const CSV = { name: "CSV", media: "text/csv", suffix: ".csv", written: "csv" };
const TSV = { name: "TSV", media: "text/tab-separated-values", suffix: ".tsv", written: "tsv" };
const NDJSON = { name: "NDJSON", media: "application/x-ndjson", suffix: ".ndjson", written: "ndjson" };
const JSON_ARRAY = { name: "JSON", media: "application/json", suffix: ".json", written: "json" };
const PARQUET = { name: "Parquet", media: "application/vnd.apache.parquet", suffix: ".parquet" };
const ARROW = { name: "Arrow", media: "application/vnd.apache.arrow.stream", suffix: ".arrows" };
const EXCEL = { name: "Excel", media: EXCEL_MEDIA, suffix: ".xlsx" };
const OLD_EXCEL = { ...EXCEL, media: "application/vnd.ms-excel", answer: EXCEL };
const OPEN_DOCUMENT = { ...OLD_EXCEL, media: "application/vnd.oasis.opendocument.spreadsheet" };

const BY_SUFFIX = {
  ".csv": CSV,
  ".txt": CSV,
  ".dat": CSV,
  ".data": CSV,
  ".tsv": TSV,
  ".tab": TSV,
  ".xlsx": EXCEL,
  ".xls": OLD_EXCEL,
  ".ods": OPEN_DOCUMENT,
  ".ndjson": NDJSON,
  ".jsonl": NDJSON,
  ".json": JSON_ARRAY,
  ".parquet": PARQUET,
  ".arrow": ARROW,
  ".arrows": ARROW,
  ".feather": ARROW,
};
/** Suffixes of compression, which the service recognises by the first bytes. */
const COMPRESSED = [".gz", ".zst"];
/** Suffixes of files that come back as another kind. */
const LOSES_SUFFIX = [".txt", ".dat", ".data", ".xls", ".ods"];

const KNOWN = Object.keys(BY_SUFFIX);

export const SUFFIXES = [...KNOWN, ...COMPRESSED];

/** Thrown for a file that cannot be sent; its message says why. */
export class UnknownFormat extends Error {}

/** Return the format by a file's name. Throws UnknownFormat. */
export function formatOf(name) {
  const suffix = suffixOf(unpackedName(name));
  if (suffix === undefined) {
    throw new UnknownFormat(
      `expected a file that ends in ${KNOWN.join(", ")}, or in one of these and ` +
        `${COMPRESSED.join(" or ")}, got ${name}`,
    );
  }
  return BY_SUFFIX[suffix];
}

/** Return the format in which a file's answers come back: its own, where the service writes it. */
export function answerOf(name) {
  const given = formatOf(name);
  return given.answer ?? given;
}

/** Return true for a format whose cells of text a spreadsheet may run as formulas. */
export function isDelimited(format) {
  return format === CSV || format === TSV;
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
 * Return the name of the scored file: book.csv becomes book-scored.csv. Its suffix stays where the
 * answer is the same format: book.dat.gz becomes book-scored.csv, because it has commas.
 */
export function scoredName(name) {
  const plain = unpackedName(name);
  const suffix = suffixOf(plain);
  const end = LOSES_SUFFIX.includes(suffix) ? answerOf(name).suffix : plain.slice(-suffix.length);
  return `${plain.slice(0, -suffix.length)}-scored${end}`;
}

function unpackedName(name) {
  const packed = COMPRESSED.find((suffix) => name.toLowerCase().endsWith(suffix));
  return packed ? name.slice(0, -packed.length) : name;
}

function suffixOf(name) {
  return KNOWN.find((known) => name.toLowerCase().endsWith(known));
}
