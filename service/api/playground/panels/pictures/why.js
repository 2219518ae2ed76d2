/** The explanation of an answer: the decoded picture and its heat map. */

import { h } from "../../dom.js";

const WARM = [255, 150, 40];
const COLD = [90, 165, 255];
const PLACES = [
  ["the upper left", "the top", "the upper right"],
  ["the left", "the middle", "the right"],
  ["the lower left", "the bottom", "the lower right"],
];

/** Create it: `show(explained)` takes the answer of /explain; `clear()` empties both pictures. */
export function whyCard() {
  const seen = h("canvas", { width: 1, height: 1, role: "img", "aria-label": "Nothing yet" });
  const heat = h("canvas", { width: 1, height: 1, role: "img", "aria-label": "Nothing yet" });
  const size = h("figcaption", {}, "Light on dark");
  const words = h("p", { class: "quiet" });
  const element = h(
    "section",
    { class: "card why", "aria-label": "What the network saw" },
    h("h2", {}, "What the network saw"),
    h(
      "div",
      { class: "pair" },
      h("figure", {}, seen, size),
      h("figure", {}, heat, h("figcaption", {}, "What mattered for the answer")),
    ),
    h(
      "p",
      { class: "legend quiet" },
      h("span", { class: "warm", "aria-hidden": "true" }),
      "speaks for it",
      h("span", { class: "cold", "aria-hidden": "true" }),
      "speaks against it",
    ),
    words,
  );

  function clear() {
    for (const canvas of [seen, heat]) {
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      canvas.setAttribute("aria-label", "Nothing yet");
    }
    words.textContent =
      "Once there is a picture: a small square is painted over each part of it in turn, and the " +
      "parts without which the answer gets less likely light up.";
  }

  function show({ answer, heat: falls, pixels }) {
    const [width, height] = [pixels[0].length, pixels.length];
    for (const canvas of [seen, heat]) Object.assign(canvas, { width, height });
    size.textContent = `${width} × ${height} pixels, light on dark`;
    paint(seen, (row, column) => grey(pixels[row][column]));
    const largest = Math.max(...falls.flat().map(Math.abs)) || 1;
    paint(heat, (row, column) => tinted(pixels[row][column] * 0.45, falls[row][column] / largest));
    const most = Math.max(...falls.flat());
    const where = placeOf(falls, most);
    const points = (most * 100).toFixed(most < 0.1 ? 1 : 0);
    words.textContent =
      points === "0.0"
        ? `No single part decides: without any one of them it would still be ${answer}.`
        : `${where[0].toUpperCase()}${where.slice(1)} mattered most: painted over, it takes about ` +
          `${points} points from ${answer}.`;
    seen.setAttribute("aria-label", "The picture as the network saw it");
    heat.setAttribute("aria-label", `Heat map: ${where} mattered most for ${answer}`);
  }

  clear();
  return { element, show, clear };
}

/** Describe where on the picture the largest fall is. */
function placeOf(falls, most) {
  const row = falls.findIndex((line) => line.includes(most));
  const third = (at) => Math.min(2, Math.floor((at * 3) / falls.length));
  return PLACES[third(row)][third(falls[row].indexOf(most))];
}

function grey(brightness) {
  return [brightness, brightness, brightness];
}

/** Return a brightness overlaid with heat of -1..1. */
function tinted(brightness, heat) {
  const colour = heat < 0 ? COLD : WARM;
  const strength = Math.abs(heat);
  return colour.map((channel) => brightness + (channel - brightness) * strength);
}

function paint(canvas, colourOf) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let at = 0; at < canvas.width * canvas.height; at++) {
    const colour = colourOf(Math.floor(at / canvas.width), at % canvas.width);
    image.data.set([...colour, 255], at * 4);
  }
  context.putImageData(image, 0, 0);
}
