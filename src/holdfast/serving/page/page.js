// The page to try the model by hand: gets the facts, puts the parts together, asks the server while
// something is drawn or typed, and notes when another version answers.

import { answers } from "./answer.js";
import { make } from "./element.js";
import { about, origin } from "./model.js";
import { Unreadable } from "./numbers.js";
import { part } from "./parts.js";
import { curl, getJson, predict, Refused } from "./server.js";
import { tokenAsked } from "./token.js";

const WAIT = 40;
const POLL = 3000;
const LONGEST = 1500;
const $ = (id) => document.getElementById(id);

let parts = [];
let answer = null;
let facts = null;
let command = "";
let asking = false;
let asked = false;
let timer = 0;

async function start() {
  try {
    facts = await getJson("/page.json");
  } catch (error) {
    if (error.status === 401) return tokenAsked(start);
    return say(error.message, "wrong");
  }
  say("");
  describe();
  answer = answers(facts);
  parts = facts.inputs.map((tensor) => part(facts, tensor, changed));
  $("inputs").replaceChildren(...parts.map((one) => one.element));
  $("outputs").replaceChildren(answer.element);
  $("model").hidden = false;
  for (const one of parts) one.shown();
  judge();
  setInterval(look, POLL);
}

function describe() {
  document.title = `${facts.name} · Holdfast`;
  $("name").textContent = facts.name;
  $("origin").replaceChildren(...origin(facts));
  $("facts").replaceChildren(...about(facts));
}

/** Something was drawn or typed: asks soon, and once more if more comes while the server works. */
function changed() {
  asked = true;
  clearTimeout(timer);
  timer = setTimeout(() => asking || judge(), WAIT);
}

async function judge() {
  asked = false;
  let inputs;
  try {
    inputs = Object.fromEntries(parts.map((one) => [one.name, one.read()]));
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    offer(null);
    return answer.fail(error.message);
  }
  const missing = parts.filter((one) => inputs[one.name] === null).map((one) => one.name);
  if (missing.length) {
    offer(null);
    return answer.clear(
      missing.length < parts.length
        ? `Still to give: ${missing.join(", ")}.`
        : "The answer appears here.",
    );
  }
  offer(inputs);
  asking = true;
  try {
    const given = await predict(inputs);
    answer.show(given);
    if (given.version && given.version !== facts.version) look();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    answer.fail(error.message);
    if (error.status === 401) tokenAsked(judge);
  } finally {
    asking = false;
  }
  if (asked) judge();
}

/** Shows the command that asks the same. */
function offer(inputs) {
  $("command").hidden = !inputs;
  if (!inputs) return;
  command = curl(inputs);
  const cut = command.length > LONGEST;
  $("curl").textContent = cut ? `${command.slice(0, LONGEST)} …` : command;
  $("copied").textContent = cut
    ? `${command.length.toLocaleString("en")} characters; the copy has them all.`
    : "";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(command);
    $("copied").textContent = "Copied.";
  } catch {
    // Without leave, or over plain HTTP from another machine: the text is chosen for the hand to copy.
    $("curl").textContent = command;
    getSelection().selectAllChildren($("curl"));
    $("copied").textContent = "Press Ctrl+C to copy what is marked.";
  }
}

/** Notes another version, while someone looks. */
async function look() {
  if (document.hidden) return;
  let now;
  try {
    now = await getJson("/page.json");
  } catch (error) {
    return error.status === 401 ? tokenAsked(look) : say(error.message, "wrong");
  }
  const before = facts.version;
  facts = now;
  if (before === now.version) return $("note").classList.contains("wrong") && say("");
  describe();
  say(`Version ${now.version} answers now; before it was ${before}.`);
  changed();
}

function say(words, kind = "") {
  $("note").className = `note ${kind}`;
  $("note").replaceChildren(...(words ? [make("span", { text: words })] : []));
}

$("copy").addEventListener("click", copy);
start();
