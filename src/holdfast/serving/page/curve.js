// Draws how the training went: a drawing for each metric, the values of training and validation
// together, the best one marked.

import { make, makeSvg } from "./element.js";

// On a phone the drawing is as small as its letters may be.
const WIDTH = matchMedia("(min-width: 44rem)").matches ? 480 : 320;
const HEIGHT = 190;
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 10, 12, 24];
const LOWER_IS_BETTER = /loss|error|mse|mae|mape|rmse|divergence|perplexity/;

/** Returns a figure for each metric of a curve: numbers by name, one an epoch. */
export function curves(curve) {
  const metrics = Object.keys(curve).filter(
    (name) => !name.startsWith("val_") || !(name.slice(4) in curve),
  );
  return metrics
    .sort((a, b) => (b === "loss") - (a === "loss"))
    .map((metric) => {
      const lines = [metric, `val_${metric}`]
        .filter((name) => curve[name]?.some((value) => value !== null))
        .map((name) => ({ name, values: curve[name] }));
      return lines.length ? figure(metric, lines) : null;
    })
    .filter(Boolean);
}

function figure(metric, lines) {
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const epochs = Math.max(...lines.map((line) => line.values.length));
  const [low, high] = spread(Math.min(...values), Math.max(...values));
  const x = (epoch) => LEFT + ((WIDTH - LEFT - RIGHT) * (epoch - 1)) / Math.max(1, epochs - 1);
  const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - value)) / (high - low);
  const mark = best(metric, lines.at(-1).values);
  const words = `${mark ? `Best ${short(mark.value)} in epoch ${mark.epoch}` : "No value"} of ${epochs}`;
  const drawing = makeSvg(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-label": `${metric} by epoch. ${words}.`,
    },
    ...ticks(low, high).map((value) =>
      makeSvg(
        "g",
        { class: "tick" },
        makeSvg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
        makeSvg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end", text: short(value) }),
      ),
    ),
    makeSvg("text", { class: "axis", x: LEFT, y: HEIGHT - 6, text: "epoch 1" }),
    makeSvg("text", {
      class: "axis",
      x: WIDTH - RIGHT,
      y: HEIGHT - 6,
      "text-anchor": "end",
      text: epochs,
    }),
    ...lines.map((line, n) =>
      makeSvg("path", { class: `line line-${n}`, d: path(line.values, x, y) }),
    ),
    mark
      ? makeSvg("circle", { class: "mark", r: 4.5, cx: x(mark.epoch), cy: y(mark.value) })
      : null,
  );
  const legend = lines.map((line, n) => make("span", { class: `key key-${n}`, text: line.name }));
  return make(
    "figure",
    { class: "curve" },
    make("figcaption", {}, make("strong", { text: metric }), make("span", { text: words })),
    drawing,
    lines.length > 1 ? make("p", { class: "keys" }, ...legend) : null,
  );
}

/** A gap stays one: an epoch without a number is not drawn over. */
function path(values, x, y) {
  let draws = false;
  return values
    .map((value, n) => {
      if (value === null) {
        draws = false;
        return "";
      }
      const point = `${draws ? "L" : "M"}${x(n + 1).toFixed(1)} ${y(value).toFixed(1)}`;
      // A line of one point is seen by its round end.
      const dot = draws ? "" : "h0.01";
      draws = true;
      return point + dot;
    })
    .join("");
}

function best(metric, values) {
  const better = LOWER_IS_BETTER.test(metric) ? (a, b) => a < b : (a, b) => a > b;
  let found = null;
  values.forEach((value, n) => {
    if (value !== null && (!found || better(value, found.value))) found = { value, epoch: n + 1 };
  });
  return found;
}

function spread(low, high) {
  if (low === high) return [low - 0.5, high + 0.5];
  const room = (high - low) * 0.06;
  return [low - room, high + room];
}

/** Round numbers within the range, two to five of them. */
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => power * times >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(n * step);
  return found;
}

function short(value) {
  return String(Number(value.toPrecision(3)));
}
