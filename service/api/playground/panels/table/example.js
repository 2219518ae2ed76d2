/* A made-up table with the columns of a task, from its schema and example. */

export const ROWS = 200;
const BAD_EVERY = 40;

/** Return the fields of a row's schema: `[{ name, description, low, high, codes, required }]`. */
export function fieldsOf(payload) {
  const required = new Set(payload.required ?? []);
  return Object.entries(payload.properties).map(([name, property]) => {
    const kinds = [property, ...(property.anyOf ?? [])].flatMap((kind) => [
      kind,
      ...(kind.anyOf ?? []),
    ]);
    const bounds = kinds.find((kind) => kind.maximum !== undefined);
    return {
      name,
      description: property.description,
      low: bounds?.minimum,
      high: bounds?.maximum,
      codes: kinds.find((kind) => kind.enum)?.enum,
      required: required.has(name),
    };
  });
}

/**
 * Return CSV of rows like the schema's example, each with an `id` that is passed through.
 *
 * It is always the same. Numbers are within 40 % of the example's, most codes are its own, a few
 * cells of optional fields are empty, and every 40th row is bad, to show how that is reported.
 */
export function exampleTable(payload) {
  const fields = fieldsOf(payload);
  const random = generator(1);
  const lines = [["id", ...fields.map((field) => field.name)].join(",")];
  for (let row = 1; row <= ROWS; row += 1) {
    const bad = row % BAD_EVERY === 0 ? fields.findIndex((field) => field.high !== undefined) : -1;
    const cells = fields.map((field, place) =>
      place === bad ? field.high * 10 : likeExample(field, payload.example[field.name], random),
    );
    lines.push([row, ...cells].join(","));
  }
  return `${lines.join("\n")}\n`;
}

function likeExample(field, example, random) {
  const [chance, share] = [random(), random()];
  if (!field.required && chance < 0.05) return "";
  if (field.codes) return chance < 0.7 ? example : field.codes[Math.floor(share * field.codes.length)];
  const value = Number(example) * (0.6 + 0.8 * share);
  const bounded = Math.min(Math.max(value, field.low), field.high);
  return Number.isInteger(example) ? Math.round(bounded) : Number(bounded.toFixed(1));
}

/** Return a generator of pseudorandom numbers in 0..1 with a fixed seed (mulberry32). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
