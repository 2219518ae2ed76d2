/* The choices of a person about one file: what its columns and codes are. */

/** No choice: the service finds out for itself, and asks where it cannot. */
export const NONE = Object.freeze({ fields: {}, ignored: [], coding: null, truth: null });

/** In `ignore`, every column that could be a measurement; a person decides one by one. */
const EVERY = "*";

/** Return the query parameters of choices, as pairs. */
export function parametersOf({ fields, ignored, coding, truth }) {
  return [
    ...Object.entries(fields).map(([column, field]) => ["map", mapped(column, field)]),
    ...ignored.map((column) => ["ignore", unread(column)]),
    ...(coding ? [["coding", coding]] : []),
    ...(truth ? [["truth", truth]] : []),
  ];
}

/**
 * Sort the suggestions of a refusal: `codings` by name, and for each of `columns` the field that it
 * could be, or null.
 */
export function suggested(suggestions) {
  const codings = [];
  const columns = new Map();
  for (const suggestion of suggestions) {
    const [name, text] = cut(suggestion, suggestion.indexOf("="));
    if (name === "coding") codings.push(text);
    else if (name === "map") columns.set(...pairOf(text));
    else if (name === "ignore" && text !== EVERY && !columns.has(nameOf(text))) {
      columns.set(nameOf(text), null);
    }
  }
  return { codings, columns };
}

/** Return the column and the field of `column=field`, or of an object where its signs need that. */
function pairOf(text) {
  return text.startsWith("{") ? Object.entries(JSON.parse(text))[0] : cut(text, text.lastIndexOf("="));
}

function nameOf(text) {
  return text.startsWith("[") ? JSON.parse(text)[0] : text;
}

/** Return each choice in words, with the choices that remain without it: `[{ words, without }]`. */
export function spoken(choices) {
  const { fields, ignored, coding, truth } = choices;
  return [
    ...Object.entries(fields).map(([column, field]) => ({
      words: `${column} is read as ${field}`,
      without: { ...choices, fields: without(fields, column) },
    })),
    ...ignored.map((column) => ({
      words: `${column} is left unread`,
      without: { ...choices, ignored: ignored.filter((other) => other !== column) },
    })),
    ...(coding ? [{ words: `The codes are read as ${coding}`, without: { ...choices, coding: null } }] : []),
    ...(truth ? [{ words: `${truth} is the truth`, without: { ...choices, truth: null } }] : []),
  ];
}

/** Write a mapping; commas and braces mean something there, so such names go as JSON. */
function mapped(column, field) {
  return /^\s|\s$|[,{]/.test(column) ? JSON.stringify({ [column]: field }) : `${column}=${field}`;
}

function unread(column) {
  return /[,[]/.test(column) ? JSON.stringify([column]) : column;
}

function cut(text, place) {
  return [text.slice(0, place), text.slice(place + 1)];
}

function without(fields, column) {
  return Object.fromEntries(Object.entries(fields).filter(([other]) => other !== column));
}
