// The ways to give an image: drawing it, or dropping, pasting and choosing a file. Owns the controls
// around them, and what the model sees. Leaves strokes to draw.js and numbers to pixels.js.

import { Pad } from "./draw.js";
import { choices, make, remember, remembered } from "./element.js";
import { centred, pixelsOf, raster, sample, show, usualPen } from "./pixels.js";

const RANGES = [
  [0, 1],
  [0, 16],
  [0, 255],
  [-1, 1],
];
const MOST = 256;

/** Returns the way to draw an input; `read` gives its samples, or null while nothing is drawn. */
export function drawing(input, image, range, changed) {
  const { width, height } = image;
  const key = `${input.key}.draw`;
  const kept = { pen: usualPen(height), centre: true, ink: "high", ...remembered(key, {}) };
  const eye = seen();
  const pad = new Pad({
    width,
    height,
    pen: kept.pen,
    label: `Draw ${input.name}, ${width} by ${height} pixels`,
    changed,
  });
  const keep = (part) => {
    Object.assign(kept, part);
    pad.pen = kept.pen;
    pad.paint();
    remember(key, kept);
    changed();
  };
  const help = `keys-${input.name}`.replaceAll(/\W+/g, "-");
  pad.canvas.setAttribute("aria-describedby", help);
  const box = settings(
    pen(kept.pen, width, (value) => keep({ pen: value })),
    tick("Centre and scale what I draw", kept.centre, (on) => keep({ centre: on })),
    make("p", { class: "hint", text: centring(height) }),
    choices(
      "Ink is",
      [
        ["high", "the high number"],
        ["low", "the low number"],
      ],
      kept.ink,
      (of) => keep({ ink: of }),
    ),
  );
  const element = make(
    "div",
    { class: "way draw" },
    make("div", { class: "pads" }, pad.canvas, eye.figure),
    make(
      "div",
      { class: "buttons" },
      button("Undo", () => pad.undo()),
      button("Clear", () => pad.clear()),
    ),
    pad.status,
    make("p", {
      class: "hint",
      id: help,
      text: "With the keyboard: arrow keys move the pen, Space puts it down and lifts it, Delete clears.",
    }),
    box,
  );
  const read = () => {
    if (pad.empty) return eye.clear();
    const strokes = kept.centre ? centred(pad.strokes, width, height, kept.pen) : pad.strokes;
    let pixels = raster(strokes, width, height, kept.pen);
    if (kept.ink === "low") pixels = pixels.map((value) => 1 - value);
    eye.show(pixels, image);
    return [sample(pixels, image, range.value(), input.whole)];
  };
  const shown = () => {
    box.append(range.element);
    pad.paint();
  };
  return { label: "Draw", element, read, shown };
}

/** Returns the way to give an image's file; `read` gives its samples, or null before that. */
export function picture(input, image, range, changed) {
  const key = `${input.key}.image`;
  const kept = { invert: "no", ...remembered(key, {}) };
  const eye = seen();
  const status = make("p", { class: "hint", role: "status" });
  let bitmap = null;
  const take = async (file) => {
    if (!file) return;
    try {
      bitmap = await createImageBitmap(file);
      status.textContent = `${file.name || "The pasted image"}: ${bitmap.width} × ${bitmap.height} pixels`;
    } catch {
      bitmap = null;
      status.textContent = `${file.name || "What was pasted"} is no image that this browser can read.`;
    }
    changed();
  };
  const chooser = make("input", {
    type: "file",
    accept: "image/*",
    onchange: () => take(chooser.files[0]),
  });
  const size = image.width ? `${image.width} × ${image.height}` : "any size";
  const area = make(
    "div",
    { class: "drop", tabindex: "0", role: "group", "aria-label": `Image for ${input.name}` },
    make("label", { class: "file" }, make("span", { text: "Choose an image" }), chooser),
    make("p", {
      class: "hint",
      text: `or drop one here, or paste it. The model takes ${size}, ${image.channels === 1 ? "grey" : "in colours"}.`,
    }),
    status,
  );
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  // Pasted anywhere on the page, as long as this way is the one shown.
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file && area.isConnected && area.offsetParent) take(file);
  });
  const box = settings(
    choices(
      "Colours",
      [
        ["no", "as they are"],
        ["yes", "inverted"],
      ],
      kept.invert,
      (of) => {
        kept.invert = of;
        remember(key, kept);
        changed();
      },
    ),
  );
  const pads = make("div", { class: "pads" }, area, eye.figure);
  const element = make("div", { class: "way image" }, pads, box);
  const read = () => {
    if (!bitmap) return eye.clear();
    const shrink = Math.min(1, MOST / Math.max(bitmap.width, bitmap.height));
    const shape = {
      ...image,
      width: image.width ?? Math.max(1, Math.round(bitmap.width * shrink)),
      height: image.height ?? Math.max(1, Math.round(bitmap.height * shrink)),
    };
    let pixels = pixelsOf(bitmap, shape.width, shape.height, shape.channels);
    if (kept.invert === "yes") pixels = pixels.map((value) => 1 - value);
    eye.show(pixels, shape);
    return [sample(pixels, shape, range.value(), input.whole)];
  };
  return { label: "Image", element, read, shown: () => box.append(range.element) };
}

/** What the model sees: its pixels, black for the lowest number and white for the highest. */
function seen() {
  const canvas = make("canvas", {
    width: 1,
    height: 1,
    role: "img",
    "aria-label": "What the model sees",
  });
  const figure = make(
    "figure",
    { class: "seen", hidden: true },
    canvas,
    make("figcaption", { text: "What the model sees" }),
  );
  return {
    figure,
    show: (pixels, image) => {
      figure.hidden = false;
      show(canvas, pixels, image);
    },
    clear: () => {
      figure.hidden = true;
      return null;
    },
  };
}

/** Returns the choice of the numbers of black and white, which both ways share. */
export function rangeOf(input, image, changed) {
  const known = RANGES.some((range) => range.join() === image.range.join());
  const key = `${input.key}.range`;
  let chosen = remembered(key, image.range);
  const options = (known ? RANGES : [image.range, ...RANGES]).map((range) => [
    range.join(),
    range.join(" to "),
  ]);
  const element = choices("Pixels go from", options, chosen.join(), (of) => {
    chosen = of.split(",").map(Number);
    remember(key, chosen);
    changed();
  });
  return { element, value: () => chosen };
}

function pen(value, width, changed) {
  const words = make("output", { text: `${value.toFixed(1)} pixels` });
  const slider = make("input", {
    type: "range",
    min: "0.6",
    max: Math.max(3, width / 7).toFixed(1),
    step: "0.1",
    value,
    oninput: () => {
      words.textContent = `${Number(slider.value).toFixed(1)} pixels`;
      changed(Number(slider.value));
    },
  });
  return make("label", { class: "slider" }, make("span", { text: "Pen's width" }), slider, words);
}

function tick(text, checked, changed) {
  const box = make("input", { type: "checkbox", checked, onchange: () => changed(box.checked) });
  return make("label", { class: "tick" }, box, make("span", { text }));
}

function settings(...children) {
  return make(
    "details",
    { class: "settings" },
    make("summary", { text: "How pixels are given" }),
    ...children,
  );
}

function button(text, pressed) {
  return make("button", { type: "button", text, onclick: pressed });
}

function centring(height) {
  return height <= 16
    ? "Like scikit-learn's digits: what is drawn fills the height and stands in the middle."
    : "Like MNIST: what is drawn fits the middle 20 of 28 parts, its centre of mass in the middle.";
}
