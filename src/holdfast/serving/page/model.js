// Shows what is known of the model: where it is from, its metrics, its layers, what it takes and
// gives. Leaves the curve to curve.js.

import { curves } from "./curve.js";
import { make } from "./element.js";

/** Returns the line under the model's name. */
export function origin(facts) {
  const { run = {} } = facts;
  const from = run.name ? `trained as ${run.name}` : null;
  const place = [
    run.epoch != null ? `epoch ${run.epoch}` : null,
    run.step != null ? `step ${run.step}` : null,
  ];
  return [
    make("span", {}, "version ", make("b", { id: "version", text: facts.version })),
    make("span", { text: `run by ${facts.runtime}` }),
    from ? make("span", { text: [from, ...place].filter(Boolean).join(", ") }) : null,
  ].filter(Boolean);
}

/** Returns the sections about the model, those of which there is something to say. */
export function about(facts) {
  return [
    section("Metrics", metrics(facts.metrics)),
    section("Training", ...curves(facts.curve)),
    section("Takes and gives", tensors(facts)),
    section("Layers", layers(facts.layers)),
    section("File", exported(facts)),
  ].filter(Boolean);
}

function section(title, ...content) {
  const found = content.filter(Boolean);
  if (!found.length) return null;
  return make(
    "section",
    { class: `about about-${title.split(" ")[0].toLowerCase()}` },
    make("h2", { text: title }),
    make("div", { class: "content" }, ...found),
  );
}

function metrics(found) {
  const names = Object.keys(found).filter((name) => found[name] !== null);
  if (!names.length) return null;
  return make(
    "dl",
    { class: "metrics" },
    ...names.map((name) =>
      make(
        "div",
        {},
        make("dt", { text: name }),
        make("dd", { text: Number(found[name].toPrecision(4)) }),
      ),
    ),
  );
}

function tensors(facts) {
  const named = (tensor) => facts.classes.length && facts.classes.length === tensor.shape.at(-1);
  const words = (kind, tensor) =>
    tensor.meaning ?? (kind === "output" && named(tensor) ? facts.classes.join(", ") : "");
  const said = facts.inputs.some((tensor) => tensor.meaning) || facts.outputs.some(named);
  const row = (kind, tensor) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: tensor.name }),
      make("td", { text: kind }),
      make("td", { class: "code", text: `${tensor.dtype} ${shape(tensor.shape)}` }),
      said ? make("td", { class: "meaning", text: words(kind, tensor) }) : null,
    );
  return table(
    "Takes and gives",
    ["Name", "Side", "Type and shape", ...(said ? ["Meaning"] : [])],
    [
      ...facts.inputs.map((tensor) => row("input", tensor)),
      ...facts.outputs.map((tensor) => row("output", tensor)),
    ],
  );
}

function layers(found) {
  if (!found.length) return null;
  const rows = found.map((layer) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: layer.name }),
      make("td", { text: layer.kind }),
      make("td", { class: "code", text: layer.output ?? "" }),
      make("td", { class: "number", text: layer.parameters.toLocaleString("en") }),
    ),
  );
  const total = found.reduce((sum, layer) => sum + layer.parameters, 0);
  const foot = make(
    "tfoot",
    {},
    make(
      "tr",
      {},
      make("th", { scope: "row", colspan: "3", text: `${found.length} layers` }),
      make("td", { class: "number", text: total.toLocaleString("en") }),
    ),
  );
  return table("Layers", ["Name", "Kind", "Output", "Parameters"], rows, foot);
}

/** How the file was made, and the training that it is from: numbers and texts alone. */
function exported(facts) {
  const lines = [...flat("", facts.export), ...flat("run ", facts.run)];
  if (!lines.length) return null;
  return make(
    "details",
    {},
    make("summary", { text: "How this file was made" }),
    make(
      "dl",
      { class: "lines" },
      ...lines.map(([name, value]) =>
        make("div", {}, make("dt", { text: name }), make("dd", { class: "code", text: value })),
      ),
    ),
  );
}

function flat(before, value) {
  return Object.entries(value ?? {}).flatMap(([key, part]) => {
    const name = `${before}${key.replaceAll("_", " ")}`;
    if (part === null) return [];
    if (typeof part === "object" && !Array.isArray(part)) return flat(`${name} `, part);
    return [[name, Array.isArray(part) ? part.join(", ") : String(part)]];
  });
}

function table(label, heads, rows, foot = null) {
  return make(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": label },
    make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          ...heads.map((text) =>
            make("th", { scope: "col", class: text === "Parameters" ? "number" : null, text }),
          ),
        ),
      ),
      make("tbody", {}, ...rows),
      foot,
    ),
  );
}

function shape(sizes) {
  return `[${sizes.map((size) => size ?? "?").join(", ")}]`;
}
