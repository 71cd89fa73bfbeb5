// Shows what the model gave: bars with the classes' names, numbers, or the plain lists. Owns what is
// said aloud of it. Leaves asking to page.js.

import { choices, make, remember, remembered } from "./element.js";

const FEW = 12;
const MOST_ROWS = 100;

/** Returns the answer's element; `show` fills it, `fail` says what went wrong, `clear` empties it. */
export function answers(facts) {
  const body = make("div");
  const spoken = make("p", { class: "hidden", "aria-live": "polite", id: "spoken" });
  const element = make("div", { class: "answer" }, body, spoken);
  let last = null;
  let whole = false;
  let timer = 0;
  const many = Math.max(2, ...facts.outputs.map((output) => output.shape.at(-1) ?? 0)) > FEW;
  let order = remembered("order", many ? "sorted" : "given");
  const again = () => last && draw();
  const view = {
    classes: facts.classes,
    sorted: () => order === "sorted",
    whole: () => whole,
    more: () => {
      whole = !whole;
      again();
    },
  };
  const chooser = choices(
    "Order",
    [
      ["given", "as given"],
      ["sorted", "highest first"],
    ],
    order,
    (of) => {
      order = of;
      remember("order", of);
      again();
    },
  );
  const draw = () => {
    const shown = Object.entries(last.outputs).map(([name, rows]) => ({
      name,
      ...(Array.isArray(rows) && rows.length > 1
        ? table(rows, view)
        : one(rows?.[0] ?? rows, view)),
    }));
    const several = shown.length > 1;
    body.replaceChildren(
      ...shown.map((output) =>
        make(
          "div",
          { class: "output" },
          several ? make("h3", { text: output.name }) : null,
          output.element,
        ),
      ),
      ...(shown.some((output) => output.bars) ? [chooser] : []),
      make("p", {
        class: "took",
        text: `${took(last.took)}${last.version ? ` · version ${last.version}` : ""}`,
      }),
    );
    return shown
      .map((output) => (several ? `${output.name}: ${output.words}` : output.words))
      .join(" ");
  };
  const say = (words) => {
    clearTimeout(timer);
    // While someone draws, answers come faster than they can be said.
    timer = setTimeout(() => (spoken.textContent = words), 500);
  };
  const replace = (...children) => {
    last = null;
    body.replaceChildren(...children);
  };
  return {
    element,
    show: (answer) => {
      last = answer;
      say(draw());
    },
    fail: (words) => {
      replace(make("p", { class: "wrong", role: "alert", text: words }));
      say("");
    },
    clear: (words) => {
      replace(make("p", { class: "hint empty", text: words }));
      say("");
    },
  };
}

/** One sample's output. */
function one(values, view) {
  if (isClassified(values)) return bars(values, view);
  // One share and two classes: it is the second one's.
  if (
    view.classes.length === 2 &&
    isFlat(values) &&
    isClassified([values[0], 0]) &&
    values.length === 1
  ) {
    return bars([1 - values[0], values[0]], view);
  }
  if (typeof values === "number" || (isFlat(values) && values.length === 1)) {
    const value = typeof values === "number" ? values : values[0];
    return { words: number(value), element: make("p", { class: "big", text: number(value) }) };
  }
  if (isFlat(values)) return named(values, view);
  const text = JSON.stringify(values);
  return {
    words: "The answer is a list of lists.",
    element: make("pre", {
      tabindex: "0",
      text: text.length > 4000 ? `${text.slice(0, 4000)} …` : text,
    }),
  };
}

/** Shares of one, or each from 0 to 1. */
function bars(values, view) {
  const names = namesOf(values, view);
  const ranked = values.map((value, n) => [value, n]).sort((a, b) => b[0] - a[0]);
  const best = ranked[0];
  const shown = view.sorted() ? ranked : values.map((value, n) => [value, n]);
  const cut = shown.length > FEW && !view.whole() ? shown.slice(0, FEW) : shown;
  const list = make(
    "ol",
    { class: "bars" },
    ...cut.map(([value, n]) => {
      const fill = make("span", { class: "fill" });
      // By the object model: a style written as an attribute is not let in by the page's policy.
      fill.style.width = `${100 * value}%`;
      return make(
        "li",
        { class: n === best[1] ? "best" : null },
        make("span", { class: "name", text: names[n], title: names[n] }),
        make("span", { class: "track" }, fill),
        make("span", { class: "value", text: percent(value) }),
      );
    }),
  );
  const more =
    shown.length > FEW
      ? make("button", {
          type: "button",
          onclick: view.more,
          text: view.whole() ? "Show fewer" : `Show all ${shown.length}`,
        })
      : null;
  const next = ranked[1] ? ` Next: ${names[ranked[1][1]]}, ${percent(ranked[1][0])}.` : "";
  return {
    bars: true,
    words: `${names[best[1]]}, ${percent(best[0])}.${next}`,
    element: make(
      "div",
      {},
      make(
        "p",
        { class: "verdict" },
        make("strong", { text: names[best[1]] }),
        make("span", { text: percent(best[0]) }),
      ),
      list,
      more,
    ),
  };
}

/** Numbers that are no shares, each with its name. */
function named(values, view) {
  const names = namesOf(values, view);
  const shown = values.slice(0, MOST_ROWS);
  const best = names === view.classes ? names[values.indexOf(Math.max(...values))] : null;
  const verdict = best ? make("p", { class: "verdict" }, make("strong", { text: best })) : null;
  const list = shown.map((value, n) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: names[n] }),
      make("td", { class: "number", text: number(value) }),
    ),
  );
  return {
    words: `${best ? `${best}. ` : ""}${shown
      .slice(0, 5)
      .map((value, n) => `${names[n]}: ${number(value)}.`)
      .join(" ")}`,
    element: make(
      "div",
      { class: "wide", tabindex: "0", role: "region", "aria-label": "Numbers" },
      verdict,
      make("table", {}, make("tbody", {}, ...list)),
      shown.length < values.length
        ? make("p", { class: "hint", text: `${values.length - shown.length} more numbers.` })
        : null,
    ),
  };
}

/** Several samples: a line each. */
function table(rows, view) {
  const classified = rows.every(isClassified);
  const lines = rows.slice(0, MOST_ROWS).map((row, n) => {
    const best = classified ? row.indexOf(Math.max(...row)) : 0;
    const cells = classified
      ? [namesOf(row, view)[best], percent(row[best])]
      : [
          isFlat(row)
            ? row.map(number).join(", ")
            : typeof row === "number"
              ? number(row)
              : JSON.stringify(row).slice(0, 200),
        ];
    return make(
      "tr",
      {},
      make("th", { scope: "row", text: n + 1 }),
      ...cells.map((text, m) =>
        make("td", { class: m === cells.length - 1 ? "number" : null, text }),
      ),
    );
  });
  const heads = classified ? ["Row", "Class", "Probability"] : ["Row", "Value"];
  return {
    words: `${rows.length} rows were judged.`,
    element: make(
      "div",
      { class: "wide", tabindex: "0", role: "region", "aria-label": "Answer by row" },
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text }))),
        ),
        make("tbody", {}, ...lines),
      ),
      rows.length > MOST_ROWS
        ? make("p", { class: "hint", text: `${rows.length - MOST_ROWS} more rows were judged.` })
        : null,
    ),
  };
}

function isFlat(values) {
  return (
    Array.isArray(values) &&
    values.every(
      (value) =>
        typeof value === "number" ||
        value === null ||
        typeof value === "string" ||
        typeof value === "boolean",
    )
  );
}

function isClassified(values) {
  return (
    isFlat(values) &&
    values.length > 1 &&
    values.every((value) => typeof value === "number" && value >= 0 && value <= 1)
  );
}

/** The classes' names belong to outputs of their number; others are counted. */
function namesOf(values, view) {
  return values.length === view.classes.length ? view.classes : values.map((_, n) => String(n));
}

function percent(value) {
  const shown = 100 * value;
  return `${shown >= 99.95 || shown === 0 ? shown.toFixed(0) : shown.toFixed(1)} %`;
}

function number(value) {
  if (typeof value !== "number") return value === null ? "not a number" : String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
}

function took(ms) {
  return `Answered in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
