// Speaks with the server: the facts, the document of its calls, and judging. Owns the token and the
// words for what goes wrong. The token is forgotten when the tab is closed.

const KEY = "holdfast.token";
let kept = null;

/** The server said no, or nothing: `status` is 0 where it did not answer. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Returns the token that is sent, or null. */
export function token() {
  try {
    return kept ?? sessionStorage.getItem(KEY);
  } catch {
    return kept;
  }
}

/** Sends this token from now on. */
export function useToken(text) {
  kept = text;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // Storage may be forbidden: the token holds until the page is closed.
  }
}

/** Returns the JSON at a path. */
export async function getJson(path) {
  return parsed(await call(path, { cache: "no-cache" }));
}

/** Returns what the model gives, which version of it answered, and how long that took in ms. */
export async function predict(inputs) {
  const began = performance.now();
  const response = await call("/predict", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ inputs }),
  });
  const { predictions, version } = await parsed(response);
  const took = performance.now() - began;
  const names = Object.keys(predictions[0]?.outputs ?? {});
  const outputs = names.map((name) => [name, predictions.map((row) => row.outputs[name])]);
  return { outputs: Object.fromEntries(outputs), version, took };
}

/** Returns the command that asks the same of this server. */
export function curl(inputs) {
  const quoted = JSON.stringify({ inputs }).replaceAll("'", "'\\''");
  const secret = token() ? ` \\\n  -H "Authorization: Bearer $HOLDFAST_TOKEN"` : "";
  return `curl ${location.origin}/predict${secret} \\\n  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
}

async function call(path, options) {
  const headers = { ...options.headers };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Refused(0, "The server does not answer. Is it still running?");
  }
  if (!response.ok) throw new Refused(response.status, await words(response));
  return response;
}

async function parsed(response) {
  try {
    return await response.json();
  } catch {
    throw new Refused(response.status, "The server's answer cannot be read. Is it still running?");
  }
}

async function words(response) {
  const said = await response.json().then(
    (body) => (typeof body?.error === "string" ? body.error : ""),
    () => "",
  );
  const wait = response.headers.get("Retry-After");
  switch (response.status) {
    case 401:
      return "This server asks for a token.";
    case 503:
      return `The server has more to do than it can hold. Try again${wait ? ` in ${wait} s` : " soon"}.`;
    case 504:
      return "The server took too long. Try again, or give it less at once.";
    case 413:
      return said || "That is more than the server takes at once.";
    default:
      return said || `The server answered ${response.status} ${response.statusText}`.trim();
  }
}
