/** The two cards of one explanation: contributions and counterfactuals. */

import { failure } from "../../notices.js";
import { changesOf } from "./changes.js";
import { stated } from "./stated.js";
import { waterfall } from "./waterfall.js";

/**
 * Create {why, changes, wait, show, refuse}: two elements, and functions that set their states;
 * `refuse(problem)` takes the Problem of an explanation, or null when there is no answer either.
 */
export function explainedOf(fields, { split, apply }) {
  const steps = waterfall(fields, split);
  const ways = changesOf(apply);
  const [why, changes] = [
    stated("Why", steps.element),
    stated("What would change the decision", ways.element),
  ];

  return {
    why: why.element,
    changes: changes.element,
    wait() {
      why.wait();
      changes.wait();
    },
    show(explanation) {
      why.show();
      changes.show();
      steps.show(explanation);
      ways.show(explanation);
    },
    refuse(problem) {
      why.refuse(problem && failure(problem));
      changes.refuse();
    },
  };
}
