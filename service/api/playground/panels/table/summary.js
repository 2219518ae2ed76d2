/* A summary of answers in bounded memory: counts, a histogram, the first rows, the bad rows. */

export const BINS = 20;
export const FIRST_ROWS = 20;
export const MOST_BAD_ROWS = 100;
const MOST_KINDS = 6;

/** A summary that takes rows one by one; its size does not grow with their number. */
export class Summary {
  rows = 0;
  scored = 0;
  flagged = 0;
  /** Scored rows by probability, in intervals of .05, each with its lower end in it. */
  bins = new Array(BINS).fill(0);
  first = [];
  /** The first rows that could not be scored: `{ row, problems }`. */
  bad = [];
  /** The number of rows by value, for columns with few values (certainty, say). */
  kinds = new Map();

  /** The name of the decision: the column after `probability`. */
  decision = null;

  /** Add a row, an object by name. */
  add(row) {
    this.rows += 1;
    this.decision ??= after("probability", row)[0];
    if (this.first.length < FIRST_ROWS) this.first.push(row);
    const { probability } = row;
    if (probability === null) {
      if (this.bad.length < MOST_BAD_ROWS) {
        this.bad.push({ row: this.rows, problems: problemsOf(row.error) });
      }
      return;
    }
    this.scored += 1;
    if (row[this.decision] === true) this.flagged += 1;
    this.bins[Math.min(Math.floor(probability * BINS + 1e-9), BINS - 1)] += 1;
    this.#count(row);
  }

  #count(row) {
    for (const name of after(this.decision, row)) {
      if (name === "error") continue;
      if (!this.kinds.has(name)) this.kinds.set(name, new Map());
      const seen = this.kinds.get(name);
      const value = String(row[name] ?? "");
      if (seen.has(value) || seen.size < MOST_KINDS) seen.set(value, (seen.get(value) ?? 0) + 1);
    }
  }
}

function after(column, row) {
  const names = Object.keys(row);
  return names.slice(names.indexOf(column) + 1);
}

/** Parse the service's message for a bad row: `[{ field, expected, got }]`. */
export function problemsOf(error) {
  return error.split(/; (?=[^:;"]+: expected )/).map((problem) => {
    const found = /^([^:]+): expected (.*), got (.*)$/s.exec(problem);
    if (!found) return { field: "", expected: "", got: problem };
    const [, field, expected, got] = found;
    return { field, expected, got };
  });
}
