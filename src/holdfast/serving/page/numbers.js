// The ways to give numbers and texts: pasted rows, fields by name, lines of text, JSON. Owns reading
// what was typed, and the words where it cannot be read.

import { make } from "./element.js";

/** What was typed cannot be read. */
export class Unreadable extends Error {}

/** Returns the way to paste rows of numbers; a few also have a field each. */
export function numbers(input, { count, fields }, changed) {
  const area = text(input, `Rows for ${input.name}`, () => {
    fill();
    changed();
  });
  const hint = count
    ? `${count} numbers a row, with tabs, commas or spaces between them; a line is a row.`
    : "Numbers with tabs, commas or spaces between them; a line is a row.";
  const boxes = (fields ?? []).map((name) =>
    make("input", {
      type: "text",
      inputmode: "decimal",
      "aria-label": name,
      autocomplete: "off",
      oninput: () => join(),
    }),
  );
  const join = () => {
    const values = boxes.map((box) => box.value.trim() || "0");
    area.value = [values.join(", "), ...lines(area.value).slice(1)].join("\n");
    changed();
  };
  const fill = () => {
    const first = lines(area.value)[0];
    const values = first ? split(first) : [];
    boxes.forEach((box, n) => (box.value = values[n] ?? ""));
  };
  const element = make(
    "div",
    { class: "way numbers" },
    boxes.length
      ? make(
          "div",
          { class: "fields" },
          ...boxes.map((box, n) => make("label", {}, make("span", { text: fields[n] }), box)),
        )
      : null,
    make(
      "label",
      { class: "area" },
      make("span", { text: boxes.length ? "or paste rows" : "Paste a row, or several" }),
      area,
    ),
    make("p", { class: "hint", text: hint }),
  );
  return { label: "Numbers", element, read: () => rows(area.value, count, input), shown: () => {} };
}

/** Returns the way to type texts, one a line. */
export function texts(input, nested, changed) {
  const area = text(input, `Texts for ${input.name}`, changed);
  const element = make(
    "div",
    { class: "way" },
    make("label", { class: "area" }, make("span", { text: "A text, or one a line" }), area),
  );
  const read = () => {
    const each = lines(area.value);
    return each.length ? each.map((line) => (nested ? [line] : line)) : null;
  };
  return { label: "Text", element, read, shown: () => {} };
}

/** Returns the way to give any sample as JSON; it begins with an example. */
export function json(input, changed) {
  const area = text(input, `JSON for ${input.name}`, changed);
  const shape = input.shape.slice(1);
  const example = () => {
    area.value = written(
      filled(
        shape.map((size) => size ?? 3),
        input.dtype,
      ),
    );
    changed();
  };
  const element = make(
    "div",
    { class: "way" },
    make(
      "label",
      { class: "area" },
      make("span", { text: `One sample as JSON: ${of(shape, input.dtype)}` }),
      area,
    ),
    make(
      "div",
      { class: "buttons" },
      make("button", { type: "button", text: "Fill in an example", onclick: example }),
    ),
  );
  const read = () => {
    if (!area.value.trim()) return null;
    let value;
    try {
      value = JSON.parse(area.value);
    } catch (error) {
      throw new Unreadable(`${input.name}: this is not JSON: ${error.message}`);
    }
    const deep = depth(value);
    if (deep === shape.length + 1) return value;
    if (deep === shape.length) return [value];
    throw new Unreadable(
      `${input.name}: expected ${of(shape, input.dtype)}, found ${deep ? `lists ${deep} deep` : "no list"}.`,
    );
  };
  return { label: "JSON", element, read, shown: () => {} };
}

/** Returns rows of numbers, or null where nothing was typed. */
export function rows(typed, count, input) {
  const found = lines(typed).map((line, n) => {
    const row = split(line).map((word) => number(word, n, input));
    if (count != null && row.length !== count) {
      throw new Unreadable(
        `${input.name}, row ${n + 1}: expected ${count} numbers, found ${row.length}.`,
      );
    }
    return row;
  });
  const uneven = found.findIndex((row) => row.length !== found[0].length);
  if (uneven > 0) {
    throw new Unreadable(
      `${input.name}: row 1 has ${found[0].length} numbers, row ${uneven + 1} has ${found[uneven].length}.`,
    );
  }
  return found.length ? found : null;
}

function number(word, row, input) {
  const value = Number(word);
  if (word === "" || !Number.isFinite(value)) {
    throw new Unreadable(
      `${input.name}, row ${row + 1}: expected a number, found “${word.slice(0, 40)}”.`,
    );
  }
  if (input.whole && !Number.isInteger(value)) {
    throw new Unreadable(
      `${input.name}, row ${row + 1}: expected whole numbers, found ${word.slice(0, 40)}.`,
    );
  }
  return value;
}

function lines(typed) {
  return typed
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter(Boolean);
}

/** Commas, semicolons and tabs stand between numbers; without any, spaces do. Brackets are let go. */
function split(line) {
  const bare = line.replace(/^[[(\s]+|[\])\s,;]+$/g, "");
  return bare.split(/[,;\t]/.test(bare) ? /\s*[,;\t]\s*/ : /\s+/);
}

function text(input, label, changed) {
  return make("textarea", {
    rows: "4",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-label": label,
    oninput: () => changed(),
  });
}

function filled([size, ...rest], dtype) {
  if (size === undefined) return dtype === "string" ? "text" : dtype === "bool" ? false : 0;
  return Array.from({ length: size }, () => filled(rest, dtype));
}

/** The innermost lists stay on a line of their own. */
function written(value, indent = "") {
  if (!Array.isArray(value) || !Array.isArray(value[0]))
    return JSON.stringify(value).replaceAll(",", ", ");
  return `[\n${value.map((part) => `${indent}  ${written(part, `${indent}  `)}`).join(",\n")}\n${indent}]`;
}

function depth(value) {
  return Array.isArray(value) ? 1 + depth(value[0]) : 0;
}

function of(shape, dtype) {
  const kind =
    dtype === "string"
      ? "texts"
      : dtype === "bool"
        ? "true or false"
        : /^u?int/.test(dtype)
          ? "whole numbers"
          : "numbers";
  if (!shape.length) return `one of ${kind}`.replace("one of numbers", "one number");
  return `${shape.map((size) => size ?? "any").join(" × ")} ${kind}`;
}
