// Asks for the server's token where one is needed. Leaves keeping it to server.js.

import { token, useToken } from "./server.js";

const form = document.getElementById("token");
const field = document.getElementById("secret");
let then = null;

/** Shows the field; `given` is called once a token was typed. */
export function tokenAsked(given) {
  then = given;
  // Where one was sent and still refused, it was the wrong one.
  document.getElementById("refused").hidden = !token();
  if (!form.hidden) return;
  form.hidden = false;
  field.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = field.value.trim();
  if (!text) return;
  useToken(text);
  form.hidden = true;
  field.value = "";
  then();
});
