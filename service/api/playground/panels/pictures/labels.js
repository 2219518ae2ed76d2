/** What a network that reads pictures can answer. */

import { sentence } from "../../format.js";
import { answersOf, resolved } from "../../schema.js";

const SURE = 0.9;

/**
 * The field of an answer that carries the class, and the classes in the order of `probabilities`:
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

/** The likely labels as one says them: "4 or 9"; of most answers, the one that is given. */
export function inWords(answer, field) {
  const set = answer.prediction_set ?? [];
  if (set.length < 2) return String(answer[field]);
  return `${set.slice(0, -1).join(", ")} or ${set.at(-1)}`;
}

/** What there is to warn of, in the service's words. */
export function warningsOf(answer) {
  return (answer.warnings ?? []).map(sentence);
}

/** Whether it is worth a second look. */
export function doubtful(answer) {
  return (
    answer.probability < SURE ||
    answer.prediction_set?.length > 1 ||
    answer.in_distribution === false ||
    warningsOf(answer).length > 0
  );
}
