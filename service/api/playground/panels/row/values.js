/** From what stands in a form to what is sent, and from what came back to the form. */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * The payload: texts by field as they were typed, nothing rounded, clamped or left out.
 *
 * A number is sent as one. What is none goes as the text it is, and the service says what it
 * expected. Nothing is null where that is allowed (not recorded); elsewhere the field is missing.
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

/** The texts of a row of values. */
export function textsOf(fields, values) {
  return Object.fromEntries([...fields.keys()].map((name) => [name, textOf(values[name])]));
}

export function textOf(value) {
  return value === null || value === undefined ? "" : String(value);
}

/** A Problem's messages by field, and those of no field of the form: {byField, others}. */
export function messagesOf(fields, problem) {
  const byField = new Map();
  const others = [];
  for (const { field, expected, got } of problem.errors) {
    if (fields.has(field)) byField.set(field, `Expected ${expected}, got ${got}.`);
    else others.push(`${field}: expected ${expected}, got ${got}.`);
  }
  return { byField, others: problem.errors.length ? others : [problem.detail] };
}

/** Warnings by the field that each begins with, and those of none: {byField, others}. */
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
