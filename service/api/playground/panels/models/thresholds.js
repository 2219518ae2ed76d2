/** The decisions on the test part at each threshold, in steps of .05. */

import { tableOf } from "../../plot.js";
import { figures } from "./words.js";

/** Create the table from `Curves.scores`: rows of class 0 and of class 1 by probability. */
export function thresholds([no, yes]) {
  const [nos, yeses] = [no, yes].map(sum);
  const rows = no.slice(1).map((_, place) => {
    const [wrongly, rightly] = [no, yes].map((counts) => sum(counts.slice(place + 1)));
    return [
      figures((place + 1) / no.length, 2),
      share(wrongly + rightly, nos + yeses),
      share(rightly, yeses),
      share(nos - wrongly, nos),
      share(rightly, wrongly + rightly),
      share(rightly + nos - wrongly, nos + yeses),
    ];
  });
  return tableOf({
    caption: "Test rows, were the answer yes from each of these probabilities",
    columns: ["threshold", "flagged", "sensitivity", "specificity", "precision", "accuracy"],
    rows,
  });
}

function share(part, whole) {
  return whole ? figures(part / whole, 3) : "–";
}

function sum(counts) {
  return counts.reduce((total, count) => total + count, 0);
}
