// Makes elements of the page. Text is always set as text: nothing that a model's file says becomes
// markup.

const SVG = "http://www.w3.org/2000/svg";

/** Returns a new element: `on…` are listeners, `text` its text, true and false set and leave out. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Returns a new element of a drawing. */
export function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Returns radio buttons as a row of choices; `chosen` is called with the value picked. */
export function choices(label, options, value, chosen) {
  const name = `choice-${++choices.made}`;
  return make(
    "fieldset",
    { class: "choices" },
    make("legend", { text: label }),
    ...options.map(([of, text]) =>
      make(
        "label",
        {},
        make("input", {
          type: "radio",
          name,
          value: of,
          checked: of === value,
          onchange: () => chosen(of),
        }),
        make("span", { text }),
      ),
    ),
  );
}
choices.made = 0;

/** Returns what a person has chosen before under a name, or a default. */
export function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`holdfast.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keeps what a person has chosen; where the browser keeps nothing, for this visit alone. */
export function remember(name, value) {
  try {
    localStorage.setItem(`holdfast.${name}`, JSON.stringify(value));
  } catch {
    // Storage may be full or forbidden: the choice holds until the page is closed.
  }
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}
