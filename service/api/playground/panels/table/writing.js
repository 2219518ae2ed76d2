/* The scored file, written from the answers in NDJSON without a second call. */

import { linesOf, namesOf, rowOf } from "./rows.js";

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const FORMULA = /^[=+\-@\t\r]/;

/** The ways of writing, by `written` of a format. `harmless` is for cells that could be formulas. */
const WRITERS = {
  csv: (answers, harmless) => delimited(answers, ",", harmless),
  tsv: (answers, harmless) => delimited(answers, "\t", harmless),
  json: (answers) => array(answers),
  ndjson: (answers) => answers,
};

/** Return the file, as a Blob. */
export function written(answers, as, harmless) {
  return WRITERS[as](answers, harmless);
}

async function delimited(answers, separator, harmless) {
  const pieces = [];
  let names = null;
  const shown = (value) => quoted(harmless ? inert(value) : String(value ?? ""), separator);
  for await (const lines of linesOf(answers)) {
    if (names === null && lines.length) {
      names = namesOf(lines[0]);
      pieces.push(`${names.map(shown).join(separator)}\n`);
    }
    const rows = lines.map(rowOf);
    pieces.push(new Blob(rows.map((row) => `${names.map((name) => shown(row[name])).join(separator)}\n`)));
  }
  return new Blob(pieces);
}

async function array(answers) {
  const pieces = ["["];
  for await (const lines of linesOf(answers)) {
    if (lines.length) pieces.push(new Blob([pieces.length > 1 ? "," : "", lines.join(",")]));
  }
  return new Blob([...pieces, "]"]);
}

/** Put a ' before a text that a spreadsheet would run; numbers are left alone. */
function inert(value) {
  const text = String(value ?? "");
  return FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
}

function quoted(text, separator) {
  const needed = text.includes(separator) || /["\r\n]/.test(text);
  return needed ? `"${text.replaceAll('"', '""')}"` : text;
}
