// The first page of the listening test: one button.

import { goHome, insist, send, stayFresh } from "./server.js";

const button = document.querySelector("#start");
const hint = document.querySelector("#hint");

button.addEventListener("click", async () => {
  button.disabled = true;
  try {
    await insist(
      () => send("POST", "/start"),
      () => (hint.textContent = "The server cannot be reached; trying again."),
    );
    goHome();
  } catch (error) {
    hint.textContent = error.message;
    button.disabled = false;
  }
});
button.disabled = false;
stayFresh();
