/** Thumbnails of pictures. */

import { h } from "../../dom.js";

const SIDE = 224; // pixels: 112 on a screen with two to a point

// One at a time: a photograph of 12 megapixels takes 48 MB while it is reduced.
let before = Promise.resolve();

/** Create a canvas that shows a file once decoded, or its suffix if it cannot be decoded. */
export function thumbnail(file, name) {
  const ending = h("span", { class: "ending" }, name.split(".").at(-1).slice(0, 5));
  const frame = h("div", { class: "thumbnail", "aria-hidden": "true" }, ending);
  if (file) before = before.then(() => draw(file, frame));
  return frame;
}

async function draw(file, frame) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return; // not a picture, or of a format that this browser cannot decode
  }
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) =>
    Math.max(1, Math.round(side * scale)),
  );
  const canvas = h("canvas", { width, height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  frame.replaceChildren(canvas);
}
