// Shows /openapi.json so that a person can read it: each call, what goes in, what comes out, and a
// command to copy. Leaves what the calls are to the document.

import { make } from "./element.js";
import { getJson, token } from "./server.js";
import { tokenAsked } from "./token.js";

const VERBS = ["get", "head", "post", "put", "patch", "delete"];
const DEEPEST = 6;
const LONGEST = 1500;
const $ = (id) => document.getElementById(id);

let root = {};

async function start() {
  try {
    root = await getJson("/openapi.json");
  } catch (error) {
    if (error.status === 401) return tokenAsked(start);
    return $("note").replaceChildren(make("span", { class: "wrong", text: error.message }));
  }
  $("name").textContent = root.info?.title ?? "Calls of this server";
  $("origin").replaceChildren(
    make("span", { text: `OpenAPI ${root.openapi}` }),
    make("span", { text: `version ${root.info?.version ?? "?"}` }),
  );
  const calls = Object.entries(root.paths ?? {}).flatMap(([path, item]) =>
    VERBS.filter((verb) => item[verb]).map((verb) =>
      call(verb, path, resolved(item[verb]), item.parameters ?? []),
    ),
  );
  const lead = root.info?.description ? prose(root.info.description) : [];
  $("calls").replaceChildren(...lead, ...calls);
}

function call(verb, path, operation, shared) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map(resolved);
  const body = operation.requestBody ? resolved(operation.requestBody) : null;
  return make(
    "section",
    { class: "call card" },
    make(
      "h2",
      {},
      make("span", { class: "verb", text: verb.toUpperCase() }),
      make("span", { class: "path", text: path }),
    ),
    operation.summary ? make("p", { text: operation.summary }) : null,
    ...(operation.description && operation.description !== operation.summary
      ? prose(operation.description)
      : []),
    parameters.length ? list("Parameters", parameters.map(parameter)) : null,
    ...contents("Goes in", body?.content),
    answers(operation.responses ?? {}),
    folded("As a command", command(verb, path, parameters, body)),
  );
}

function parameter(one) {
  return [
    `${one.name} (${one.in}${one.required ? "" : ", may be left out"})`,
    one.description ?? written(one.schema ?? {}),
  ];
}

/** A fold for each type of which there is more to say than its name. */
function contents(title, content) {
  const types = Object.entries(content ?? {}).map(([type, media]) => [type, said(media)]);
  const bare = types.filter(([, text]) => !text).map(([type]) => type);
  return [
    ...types.filter(([, text]) => text).map(([type, text]) => folded(`${title}: ${type}`, text)),
    bare.length
      ? make("p", {
          class: "hint",
          text: `${title}${bare.length < types.length ? ", too" : ""}: ${bare.join(", ")}`,
        })
      : null,
  ].filter(Boolean);
}

function said(media) {
  const example = exampleOf(media);
  const schema = written(media.schema ?? {});
  const shown =
    example === undefined
      ? ""
      : `For example:\n${typeof example === "string" ? example : JSON.stringify(example)}\n\n`;
  return shown || !["string", "anything"].includes(schema) ? short(shown) + schema : "";
}

function short(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} …\n\n` : text;
}

function answers(responses) {
  const rows = Object.entries(responses).map(([status, response]) => [
    status,
    resolved(response).description ?? "",
  ]);
  const good = Object.entries(responses).filter(([status]) => status.startsWith("2"));
  return make(
    "div",
    {},
    list("Comes out", rows),
    ...good.flatMap(([status, response]) =>
      contents(`Answer ${status}`, resolved(response).content),
    ),
  );
}

function list(title, rows) {
  return make(
    "div",
    {},
    make("h3", { text: title }),
    make(
      "dl",
      { class: "lines" },
      ...rows.map(([name, text]) =>
        make("div", {}, make("dt", { text: name }), make("dd", { text })),
      ),
    ),
  );
}

function folded(title, text) {
  return make(
    "details",
    { class: "settings" },
    make("summary", { text: title }),
    make("pre", { tabindex: "0", text }),
  );
}

function prose(text) {
  return text.split(/\n\s*\n/).map((paragraph) => make("p", { class: "meaning", text: paragraph }));
}

/** The first example that is given, for the body or within its schema. */
function exampleOf(media) {
  if ("example" in media) return media.example;
  const named = Object.values(media.examples ?? {})[0];
  if (named) return resolved(named).value;
  const schema = resolved(media.schema ?? {});
  return (
    schema.example ??
    schema.examples?.[0] ??
    [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])]
      .map((one) => resolved(one).examples?.[0])
      .find((one) => one !== undefined)
  );
}

function command(verb, path, parameters, body) {
  const filled = parameters.reduce((url, one) => {
    const value =
      one.example ??
      one.schema?.example ??
      one.schema?.examples?.[0] ??
      one.schema?.enum?.[0] ??
      one.schema?.const;
    return one.in === "path" && value !== undefined
      ? url.replace(`{${one.name}}`, encodeURIComponent(value))
      : url;
  }, path);
  const parts = [
    `curl ${verb === "get" || verb === "post" ? "" : `-X ${verb.toUpperCase()} `}${location.origin}${filled}`,
  ];
  if (token()) parts.push(`-H "Authorization: Bearer $HOLDFAST_TOKEN"`);
  const types = Object.keys(body?.content ?? {});
  const type = types.find((one) => one === "application/json") ?? types[0];
  if (type) {
    const example = exampleOf(body.content[type]);
    parts.push(`-H 'Content-Type: ${type}'`);
    const data = typeof example === "string" ? example : JSON.stringify(example ?? {});
    parts.push(`-d '${data.replaceAll("'", "'\\''")}'`);
  } else if (verb === "post") parts.push("-d ''");
  return parts.join(" \\\n  ");
}

/** Follows a reference into the document. */
function resolved(part) {
  if (!part?.$ref) return part ?? {};
  const names = part.$ref.slice(2).split("/");
  return (
    names.reduce(
      (within, name) => within?.[name.replaceAll("~1", "/").replaceAll("~0", "~")],
      root,
    ) ?? {}
  );
}

/** Returns a schema in words and brackets, as one would write what it stands for. */
function written(given, indent = "", deep = 0) {
  const schema = resolved(given);
  const inner = `${indent}  `;
  if (deep > DEEPEST) return "…";
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const either = schema.oneOf ?? schema.anyOf;
  if (either) return either.map((one) => written(one, indent, deep + 1)).join(`\n${indent}or `);
  if (schema.allOf) return schema.allOf.map((one) => written(one, indent, deep + 1)).join(" and ");
  if (schema.properties) return object(schema, indent, inner, deep);
  if (schema.type === "array" || schema.items) {
    const items = resolved(schema.items ?? {});
    const nested = items.type === "array";
    // Lists of lists of numbers are no deeper to a reader than their shape is long.
    const within = nested
      ? bracketless(written(items, indent, deep))
      : written(items, inner, deep + 1);
    return `[ ${count(schema)}${nested ? " × " : " of "}${within} ]`;
  }
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : (schema.type ?? "anything");
  return schema.format ? `${type} (${schema.format})` : type;
}

function count({ minItems: least, maxItems: most }) {
  if (least != null && least === most) return least;
  return least ? `${least} or more` : "any number";
}

function bracketless(text) {
  return text.replace(/^\[ ([^]*) \]$/, "$1");
}

function object(schema, indent, inner, deep) {
  const fields = Object.entries(schema.properties).map(([name, part]) => {
    const left = schema.required?.includes(name) ? "" : "?";
    const words = resolved(part).description;
    return `${inner}${name}${left}: ${written(part, inner, deep + 1)}${words ? `   — ${words}` : ""}`;
  });
  return `{\n${fields.join("\n")}\n${indent}}`;
}

start();
