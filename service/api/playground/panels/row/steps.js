/** What the arrow keys make of a number. */

const LARGEST = 1000;

/** The number in `text` a step up (`way` 1) or down (-1), within the field's bounds, as a text. */
export function stepped(text, way, { low, high }) {
  const size = stepOf(low, high);
  const from = text.trim() === "" ? NaN : Number(text);
  if (Number.isNaN(from)) return text;
  const to = from + way * size;
  if (way > 0 ? to > high : to < low) return text;
  return String(Number(to.toFixed(Math.max(decimals(size), decimals(from)))));
}

/** A power of ten, about a hundredth of the way from one bound to the other. */
export function stepOf(low, high) {
  return Math.min(LARGEST, 10 ** Math.floor(Math.log10((high - low) / 100)));
}

function decimals(number) {
  return (String(number).split(".")[1] ?? "").length;
}
