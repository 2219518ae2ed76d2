/** Conversion from a form's texts to a payload, and from an answer to the form. */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * Return the payload of texts by field as they were typed, without rounding or clamping.
 *
 * A number is sent as a number. Any other text is sent as a text, and the service says what it
 * expected. An empty text is null (not recorded) where that is allowed, else the field is left out.
 */
export function payloadOf(fields, texts) {
  const payload = {};
  for (const [name, { optional }] of fields) {
    const text = texts[name] ?? "";
    if (text !== "") payload[name] = valueOf(text);
    else if (optional) payload[name] = null;
  }
  return payload;
}

/** Return the texts of a row of values. */
export function textsOf(fields, values) {
  return Object.fromEntries([...fields.keys()].map((name) => [name, textOf(values[name])]));
}

export function textOf(value) {
  return value === null || value === undefined ? "" : String(value);
}

/** Return a Problem's messages by field, and those of no field of the form: {byField, others}. */
export function messagesOf(fields, problem) {
  const byField = new Map();
  const others = [];
  for (const { field, expected, got } of problem.errors) {
    if (fields.has(field)) byField.set(field, `Expected ${expected}, got ${got}.`);
    else others.push(`${field}: expected ${expected}, got ${got}.`);
  }
  return { byField, others: problem.errors.length ? others : [problem.detail] };
}

/** Return warnings by the field that each begins with, and those of none: {byField, others}. */
export function warningsOf(fields, warnings = []) {
  const byField = new Map();
  const others = [];
  for (const warning of warnings) {
    const [name, ...rest] = warning.split(": ");
    if (fields.has(name) && !byField.has(name)) byField.set(name, `${rest.join(": ")}.`);
    else others.push(warning);
  }
  return { byField, others };
}

function valueOf(text) {
  const number = Number(text);
  return NUMBER.test(text) && Number.isFinite(number) ? number : text;
}
