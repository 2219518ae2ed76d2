/** The fields of a task's form, read from the service's OpenAPI schema. */

import { answersOf, resolved } from "../../schema.js";

export const NOT_RECORDED = "not recorded";

/**
 * Return the row of a task: {fields, groups, example}.
 *
 * Fields are by name {name, title, optional} and, of numbers, {unit, low, high, zeroIsMissing}, of
 * choices, {options: [{value, text}]}. Groups are {title, fields} or, as a table,
 * {title, rows: [title], columns: [{title, fields}]}, and hold every field once.
 */
export function rowOf(schema, task) {
  const body = resolved(schema, task.predict.requestBody.content["application/json"].schema);
  const required = new Set(body.required);
  const fields = new Map(
    Object.entries(body.properties).map(([name, property]) => [
      name,
      fieldOf(name, property, !required.has(name)),
    ]),
  );
  return { fields, groups: groupsOf(body["x-groups"] ?? [], fields), example: body.example ?? {} };
}

/**
 * Return the answer's decision with its meanings: {name, meanings: {true, false}}.
 *
 * Of an answer without a probability return its number instead: {number: {name, unit}}.
 */
export function decisionOf(schema, task) {
  const [answer] = answersOf(schema, task.predict);
  if (!answer.properties.probability) {
    const [name, { unit }] = Object.entries(answer.properties).find(
      ([, property]) => property.type === "number",
    );
    return { number: { name, unit } };
  }
  const found = Object.entries(answer.properties).find(
    ([, property]) => property.type === "boolean" && property["x-meanings"],
  );
  if (!found)
    return { meanings: { true: "at or above the threshold", false: "below the threshold" } };
  return { name: found[0], meanings: found[1]["x-meanings"] };
}

/** Format a value, as in "140 mm Hg" or "asymptomatic". */
export function worded(field, value) {
  if (value === null || value === undefined) return NOT_RECORDED;
  if (field.options) return field.options.find((o) => o.value === value)?.text ?? String(value);
  const number = value.toLocaleString("en", { maximumFractionDigits: 4 });
  return field.unit ? `${number} ${field.unit}` : number;
}

/** Describe the values that may be entered. */
export function boundsOf({ options, unit, low, high, zeroIsMissing, optional }) {
  if (options) return "";
  const [from, to] = [low, high].map((bound) => bound.toLocaleString("en").replace("-", "−"));
  const missing = [optional && "empty", zeroIsMissing && "0"].filter(Boolean).join(" or ");
  return `${from} to ${to} ${unit ?? ""}`.trim() + (missing && `; ${missing}: ${NOT_RECORDED}`);
}

function fieldOf(name, property, optional) {
  const field = { name, title: property.description ?? property.title ?? name, optional };
  const parts = [property, ...(property.anyOf ?? [])].flatMap((part) => [
    part,
    ...(part.anyOf ?? []),
  ]);
  const choice = parts.find((part) => part.enum);
  if (choice) return { ...field, options: optionsOf(choice) };
  const number = parts.find((part) => part.type === "number" || part.type === "integer");
  return {
    ...field,
    unit: parts.find((part) => part.unit)?.unit,
    low: number.minimum,
    high: number.maximum,
    zeroIsMissing: parts.some((part) => part.const === 0),
  };
}

function optionsOf({ enum: values, "x-meanings": meanings = {} }) {
  const texts = values.map((value) => meanings[value] ?? String(value));
  // Several codes may have the same meaning: then show the codes, too.
  return values.map((value, place) => {
    const text = texts[place];
    return {
      value,
      text: texts.filter((t) => t === text).length > 1 ? `${text} (${value})` : text,
    };
  });
}

function groupsOf(declared, fields) {
  const left = new Map(fields);
  const take = (names) =>
    names.map((name) => {
      left.delete(name);
      return fields.get(name);
    });
  const groups = declared.map(({ title, fields: names, rows, columns }) =>
    rows
      ? { title, rows, columns: columns.map((c) => ({ title: c.title, fields: take(c.fields) })) }
      : { title, fields: take(names) },
  );
  return left.size ? [...groups, { title: "Fields", fields: [...left.values()] }] : groups;
}
