// One part of the page for each input of the model: its ways of trying as choices, the best first.
// Leaves each way to picture.js and numbers.js.

import { choices, make, remember, remembered } from "./element.js";
import { json, numbers, texts } from "./numbers.js";
import { drawing, picture, rangeOf } from "./picture.js";

/** Returns an input's part: its element, and `read`, which gives samples, or null without any. */
export function part(facts, tensor, changed) {
  const how = facts.try[tensor.name] ?? { ways: ["json"] };
  const input = {
    ...tensor,
    key: `${facts.name}.${tensor.name}`,
    whole: /^u?int/.test(tensor.dtype),
  };
  const range = how.image ? rangeOf(input, how.image, changed) : null;
  const ways = Object.fromEntries(
    how.ways.map((name) => [name, made(name, input, how, range, changed)]),
  );
  const place = make("div");
  let chosen = remembered(`${input.key}.way`, how.ways[0]);
  if (!(chosen in ways)) chosen = how.ways[0];
  const use = (name) => {
    chosen = name;
    place.replaceChildren(ways[name].element);
    ways[name].shown();
  };
  const element = make(
    "section",
    { class: "part", "aria-label": `Input ${tensor.name}` },
    make("h3", { text: tensor.name }),
    tensor.meaning ? make("p", { class: "meaning", text: tensor.meaning }) : null,
    how.ways.length > 1
      ? choices(
          "Give it as",
          how.ways.map((name) => [name, ways[name].label]),
          chosen,
          (name) => {
            remember(`${input.key}.way`, name);
            use(name);
            changed();
          },
        )
      : null,
    place,
  );
  use(chosen);
  return {
    name: tensor.name,
    element,
    read: () => ways[chosen].read(),
    shown: () => ways[chosen].shown(),
  };
}

function made(name, input, how, range, changed) {
  switch (name) {
    case "draw":
      return drawing(input, how.image, range, changed);
    case "image":
      return picture(input, how.image, range, changed);
    case "numbers":
      return numbers(input, how, changed);
    case "text":
      return texts(input, input.shape.length > 1, changed);
    default:
      return json(input, changed);
  }
}
