/** The steps of the arrow keys in a number's field. */

const LARGEST = 1000;

/** Step the number in `text` up (`way` 1) or down (-1), within the field's bounds, as a text. */
export function stepped(text, way, { low, high }) {
  const size = stepOf(low, high);
  const from = text.trim() === "" ? NaN : Number(text);
  if (Number.isNaN(from)) return text;
  const to = from + way * size;
  if (way > 0 ? to > high : to < low) return text;
  return String(Number(to.toFixed(Math.max(decimals(size), decimals(from)))));
}

/** Return the step: a power of ten, about a hundredth of the range of the bounds. */
export function stepOf(low, high) {
  return Math.min(LARGEST, 10 ** Math.floor(Math.log10((high - low) / 100)));
}

function decimals(number) {
  return (String(number).split(".")[1] ?? "").length;
}
