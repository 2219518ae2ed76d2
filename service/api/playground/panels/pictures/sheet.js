/** A sheet to draw on, with a mouse, a finger, a pen or the arrow keys. */

import { h } from "../../dom.js";
import { count } from "../../format.js";

const SENT = 280; // pixels a side of the picture sent, about the size that the service processes
const CLOSE = 0.003; // of a side: points nearer than this to the last one are skipped
const STEP = 0.025; // of a side: how far an arrow key moves the pen
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Create a sheet. Calls `onchange()` whenever the drawing differs. Lengths are fractions of a side,
 * so that a drawing is the same on every screen.
 */
export function sheet({ label, describedBy, width, onchange }) {
  const canvas = h("canvas", {
    class: "sheet",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "drawing area",
    "aria-label": label,
    "aria-describedby": describedBy,
  });
  let strokes = []; // never changed in place, because the history keeps them
  let past = [];
  let pen = { x: 0.5, y: 0.5, down: false };
  let pointer = null;

  // ---- drawing ----

  function begin(point) {
    past.push(strokes);
    strokes = [...strokes, { width, points: [point] }];
    changed();
  }

  function go(points) {
    const stroke = strokes.at(-1);
    const added = [...stroke.points];
    for (const point of points) {
      const last = added.at(-1);
      if (Math.hypot(point.x - last.x, point.y - last.y) > CLOSE) added.push(point);
    }
    if (added.length === stroke.points.length) return;
    strokes = [...strokes.slice(0, -1), { ...stroke, points: added }];
    changed();
  }

  function changed() {
    canvas.setAttribute("aria-label", `${label}: ${count(strokes.length, "stroke")}`);
    paint();
    onchange();
  }

  function place({ clientX, clientY }) {
    const { left, top, width: side } = canvas.getBoundingClientRect();
    return { x: (clientX - left) / side, y: (clientY - top) / side };
  }

  // ---- mouse, finger, pen: one at a time, so that a palm draws nothing ----

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    pen.down = false;
    begin(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    // A quick stroke has more points than there are frames.
    const between = event.getCoalescedEvents?.() ?? [];
    go((between.length ? between : [event]).map(place));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === pointer) pointer = null;
    });
  }

  // ---- arrow keys ----

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) begin(pen);
    } else if (event.key in ARROWS) {
      const [across, down] = ARROWS[event.key];
      const within = (at) => Math.min(0.98, Math.max(0.02, at));
      pen = { ...pen, x: within(pen.x + across * STEP), y: within(pen.y + down * STEP) };
      if (pen.down) go([pen]);
    } else return;
    event.preventDefault();
    paint();
  });
  canvas.addEventListener("focus", paint);
  canvas.addEventListener("blur", () => {
    pen.down = false;
    paint();
  });

  // ---- on the screen, in as many pixels as it has ----

  function paint() {
    const context = canvas.getContext("2d");
    trace(context, strokes, canvas.width);
    if (canvas.matches(":focus-visible")) cross(context, pen, canvas.width);
  }

  const watch = new ResizeObserver(() => {
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!side || side === canvas.width) return;
    canvas.width = canvas.height = side;
    paint();
  });
  watch.observe(canvas);

  return {
    element: canvas,
    empty: () => strokes.length === 0,
    canUndo: () => past.length > 0,
    stop: () => watch.disconnect(),

    setWidth(to) {
      width = to;
    },
    /** Remove the last stroke, or restore a drawing that was cleared. */
    undo() {
      if (!past.length) return;
      strokes = past.pop();
      pen.down = false;
      changed();
    },
    clear() {
      if (!strokes.length) return;
      past.push(strokes);
      strokes = [];
      pen.down = false;
      changed();
    },
    /** Return the drawing as a PNG, black on white, independent of the screen. */
    png() {
      const copy = h("canvas", { width: SENT, height: SENT });
      const context = copy.getContext("2d");
      trace(context, strokes, SENT);
      return new Promise((resolve) => copy.toBlob(resolve, "image/png"));
    },
  };
}

/** Draw strokes as smooth curves through the midpoints, bent towards the points. */
function trace(context, strokes, side) {
  context.fillStyle = "#fff";
  context.fillRect(0, 0, side, side);
  context.strokeStyle = context.fillStyle = "#000";
  context.lineCap = context.lineJoin = "round";
  for (const { width, points } of strokes) {
    const [first, ...others] = points.map(({ x, y }) => [x * side, y * side]);
    context.lineWidth = width * side;
    context.beginPath();
    context.moveTo(...first);
    others.forEach(([x, y], at) => {
      const next = others[at + 1];
      if (next) context.quadraticCurveTo(x, y, (x + next[0]) / 2, (y + next[1]) / 2);
    });
    context.lineTo(...(others.at(-1) ?? first)); // of one point, a dot: the caps are round
    context.stroke();
  }
}

/** Draw the pen of the arrow keys, filled while it is down. */
function cross(context, { x, y, down }, side) {
  const [across, along, arm] = [x * side, y * side, side * 0.03];
  context.strokeStyle = context.fillStyle = "#1d5c63";
  context.lineWidth = side * 0.007;
  context.beginPath();
  context.arc(across, along, arm, 0, 2 * Math.PI);
  if (down) context.fill();
  context.stroke();
}
