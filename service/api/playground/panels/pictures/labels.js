/** The labels that a picture task can answer. */

import { sentence } from "../../format.js";
import { answersOf, resolved } from "../../schema.js";

const SURE = 0.9;

/**
 * Return the answer's field with the class, and the classes in the order of `probabilities`:
 * the one field with an enumeration, or with both bounds of an integer.
 */
export function labelsOf(schema, task) {
  const answer = answersOf(schema, task.predict).find(
    ({ properties }) => properties?.probabilities,
  );
  for (const [field, node] of Object.entries(answer.properties)) {
    const { type, minimum, maximum, enum: labels } = resolved(schema, node);
    if (labels) return { field, labels };
    if (type === "integer" && minimum !== undefined && maximum !== undefined) {
      return {
        field,
        labels: Array.from({ length: maximum - minimum + 1 }, (_, at) => minimum + at),
      };
    }
  }
  throw new Error(`no field of ${task.name}'s answer lists what it can be`);
}

/** Format the likely labels, as in "4 or 9"; most answers have one. */
export function inWords(answer, field) {
  const set = answer.prediction_set ?? [];
  if (set.length < 2) return String(answer[field]);
  return `${set.slice(0, -1).join(", ")} or ${set.at(-1)}`;
}

/** Return the warnings of the service. */
export function warningsOf(answer) {
  return (answer.warnings ?? []).map(sentence);
}

/** Return true for an answer that a person should check. */
export function doubtful(answer) {
  return (
    answer.probability < SURE ||
    answer.prediction_set?.length > 1 ||
    answer.in_distribution === false ||
    warningsOf(answer).length > 0
  );
}
