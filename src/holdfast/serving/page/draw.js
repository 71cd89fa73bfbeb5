// A pad to draw on: by mouse, pen, finger or keyboard. Owns the strokes, in the model's pixels, and
// how they look on the pad. Leaves what the model makes of them to pixels.js.

import { make } from "./element.js";
import { trace } from "./pixels.js";

const DENSE = 640;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A pad of `width` by `height` of the model's pixels; `changed` is called after every change. */
export class Pad {
  constructor({ width, height, pen, label, changed }) {
    Object.assign(this, { width, height, pen, changed });
    this.strokes = [];
    this.cursor = [width / 2, height / 2];
    this.down = false;
    this.pointer = null;
    this.canvas = make("canvas", {
      class: "pad",
      tabindex: "0",
      role: "application",
      "aria-roledescription": "drawing pad",
      "aria-label": label,
      width: DENSE,
      height: Math.round((DENSE * height) / width),
      onpointerdown: (event) => this.#touched(event),
      onpointermove: (event) => this.#dragged(event),
      onpointerup: (event) => this.#lifted(event),
      onpointercancel: (event) => this.#lifted(event),
      onkeydown: (event) => this.#pressed(event),
      onfocus: () => this.paint(),
      onblur: () => this.#left(),
    });
    this.status = make("span", { class: "hidden", role: "status" });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  get empty() {
    return this.strokes.length === 0;
  }

  clear() {
    this.strokes = [];
    this.down = false;
    this.#done("The pad is empty.");
  }

  undo() {
    this.strokes.pop();
    this.down = false;
    this.#done(this.empty ? "The pad is empty." : "The last stroke is gone.");
  }

  /** Shows the strokes, faint lines between the pixels, and the keyboard's cursor. */
  paint() {
    const colour = (name) => getComputedStyle(this.canvas).getPropertyValue(name).trim();
    const paper = this.canvas.getContext("2d");
    const scale = this.canvas.width / this.width;
    paper.setTransform(scale, 0, 0, scale, 0, 0);
    paper.fillStyle = colour("--pad");
    paper.fillRect(0, 0, this.width, this.height);
    this.#lines(paper, colour("--pad-line"), scale);
    paper.strokeStyle = colour("--pad-ink");
    trace(paper, this.strokes, this.pen);
    if (this.canvas.matches(":focus-visible")) this.#cross(paper, colour("--accent"), scale);
  }

  #lines(paper, colour, scale) {
    paper.strokeStyle = colour;
    paper.lineWidth = 1 / scale;
    paper.beginPath();
    const every = this.width > 16 ? 4 : 1;
    for (let x = every; x < this.width; x += every) {
      paper.moveTo(x, 0);
      paper.lineTo(x, this.height);
    }
    for (let y = every; y < this.height; y += every) {
      paper.moveTo(0, y);
      paper.lineTo(this.width, y);
    }
    paper.stroke();
  }

  #cross(paper, colour, scale) {
    const [x, y] = this.cursor;
    const arm = this.width / 16;
    paper.strokeStyle = paper.fillStyle = colour;
    paper.lineWidth = 3 / scale;
    paper.beginPath();
    paper.moveTo(x - arm, y);
    paper.lineTo(x + arm, y);
    paper.moveTo(x, y - arm);
    paper.lineTo(x, y + arm);
    paper.stroke();
    if (!this.down) return;
    paper.beginPath();
    paper.arc(x, y, arm / 2, 0, 2 * Math.PI);
    paper.fill();
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    // The border belongs to the box and not to the paper.
    const left = box.left + this.canvas.clientLeft;
    const top = box.top + this.canvas.clientTop;
    return [
      ((event.clientX - left) / this.canvas.clientWidth) * this.width,
      ((event.clientY - top) / this.canvas.clientHeight) * this.height,
    ];
  }

  #touched(event) {
    if (event.button !== 0 || this.pointer !== null) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.down = false;
    this.strokes.push([this.#at(event)]);
    this.#done();
  }

  #dragged(event) {
    if (event.pointerId !== this.pointer) return;
    const stroke = this.strokes.at(-1);
    // The undo button or key may have taken the stroke away while it was drawn.
    if (!stroke) return;
    const each = event.getCoalescedEvents?.() ?? [];
    for (const part of each.length ? each : [event]) stroke.push(this.#at(part));
    this.#done();
  }

  #lifted(event) {
    if (event.pointerId === this.pointer) this.pointer = null;
  }

  #left() {
    this.down = false;
    this.paint();
  }

  #pressed(event) {
    const key = event.key;
    if (key in KEYS) this.#move(KEYS[key], event.shiftKey ? 4 : 1);
    else if (key === " ") this.#toggle();
    else if (key === "Escape" && this.down) this.#lift();
    else if (key === "Backspace" || key === "Delete") this.clear();
    else if (key === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else return;
    event.preventDefault();
  }

  #move([right, low], times) {
    const step = Math.min(1, this.width / 16) * times;
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    this.cursor = [
      within(this.cursor[0] + right * step, this.width),
      within(this.cursor[1] + low * step, this.height),
    ];
    if (!this.down) return this.paint();
    this.strokes.at(-1).push(this.cursor);
    this.#done();
  }

  #toggle() {
    if (this.down) return this.#lift();
    this.down = true;
    this.strokes.push([this.cursor]);
    this.#done("The pen is down.");
  }

  #lift() {
    this.down = false;
    this.status.textContent = "The pen is up.";
    this.paint();
  }

  #done(words) {
    if (words) this.status.textContent = words;
    this.paint();
    this.changed();
  }
}
