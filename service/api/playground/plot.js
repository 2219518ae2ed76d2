/** Charts as SVG, each with a description and its numbers as a table. */

import { h, svg } from "./dom.js";

const SIZE = { width: 400, height: 290 };
const MARGIN = { top: 14, right: 16, bottom: 46, left: 64 };

/**
 * Create axes and the marks between them, as one SVG image.
 *
 * `x` and `y` are { low, high, label, format, ticks }, the last two optional; `description` is read
 * out in place of the picture. `marks(at)` gives SVG elements; at.x(value) and at.y(value) are
 * places, at.ground is that of the horizontal axis and at.top the upper end.
 */
export function plot({ description, x, y, marks, height = SIZE.height }) {
  const at = {
    x: scale(x, MARGIN.left, SIZE.width - MARGIN.right),
    y: scale(y, height - MARGIN.bottom, MARGIN.top),
    ground: height - MARGIN.bottom,
    top: MARGIN.top,
    left: MARGIN.left,
    right: SIZE.width - MARGIN.right,
  };
  return svg(
    "svg",
    { class: "plot", viewBox: `0 0 ${SIZE.width} ${height}`, role: "img", "aria-label": description },
    ticksOf(y).map((value) => [
      svg("line", { class: "grid", x1: at.left, x2: at.right, y1: at.y(value), y2: at.y(value) }),
      text(at.left - 8, at.y(value) + 4, written(y, value), "end"),
    ]),
    ticksOf(x).map((value) => text(at.x(value), at.ground + 18, written(x, value), "middle")),
    text((at.left + at.right) / 2, height - 8, x.label, "middle"),
    svg(
      "g",
      { transform: `translate(12 ${(at.top + at.ground) / 2}) rotate(-90)` },
      text(0, 0, y.label, "middle"),
    ),
    marks(at),
    svg("line", { class: "axis", x1: at.left, x2: at.right, y1: at.ground, y2: at.ground }),
  );
}

/** Create a line through [x, y] points. */
export function curve(at, points, name) {
  const path = points.map(([x, y]) => `${round(at.x(x))},${round(at.y(y))}`).join(" ");
  return svg("polyline", { class: `curve ${name}`, points: path });
}

/** Create a straight reference line: chance, or a threshold. */
export function guide(at, [x1, y1], [x2, y2], name = "guide") {
  return svg("line", { class: name, x1: at.x(x1), y1: at.y(y1), x2: at.x(x2), y2: at.y(y2) });
}

/** Create a bar from the horizontal axis up, between two values of x. */
export function bar(at, low, high, value, name) {
  const [left, right, top] = [at.x(low), at.x(high), at.y(value)];
  return svg("rect", {
    class: `bar ${name}`,
    x: round(left + 0.5),
    width: round(Math.max(right - left - 1, 0.5)),
    y: round(top),
    height: round(Math.max(at.ground - top, 0)),
  });
}

/**
 * Create a chart with a heading, words, a legend and its numbers as a table.
 *
 * `legend` is [[class, words], …]; `table` { caption, columns, rows } of texts, the first column
 * being the rows' headings.
 */
export function figure({ title, words, picture, legend = [], table }) {
  return h(
    "figure",
    { class: "figure" },
    h("figcaption", {}, h("h3", {}, title), h("p", { class: "quiet" }, words)),
    picture,
    legend.length > 0 &&
      h(
        "ul",
        { class: "legend" },
        legend.map(([name, means]) => h("li", {}, h("span", { class: `swatch ${name}` }), means)),
      ),
    h("details", {}, h("summary", {}, "As a table"), tableOf({ caption: title, ...table })),
  );
}

/**
 * Create a table of texts that scrolls if it is too wide. All columns but the first are numbers,
 * unless `numbers` is false; `name` is a class.
 */
export function tableOf({ caption, columns, rows, numbers = true, name }) {
  const aligned = numbers ? { class: "number" } : {};
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: name },
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, columns.map((name, place) =>
        h("th", { scope: "col", ...(place > 0 && aligned) }, name)))),
      h("tbody", {}, rows.map(([first, ...cells]) =>
        h("tr", {}, h("th", { scope: "row" }, first), cells.map((cell) => h("td", aligned, cell))))),
    ),
  );
}

/** Return about `count` round values from `low` to `high`. */
export function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, place) =>
    Number(((first + place) * step).toPrecision(12)),
  );
}

function ticksOf(axis) {
  return axis.ticks ?? ticks(axis.low, axis.high);
}

function written(axis, value) {
  return axis.format ? axis.format(value) : value.toLocaleString("en");
}

function scale({ low, high }, from, to) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

function text(x, y, content, anchor) {
  return svg("text", { x: round(x), y: round(y), "text-anchor": anchor }, content);
}

function round(value) {
  return Math.round(value * 100) / 100;
}
