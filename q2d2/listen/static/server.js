// Talks to the server on behalf of the listener whose page this is.

const LONGEST_MS = 10000;
const FIRST_PAUSE_MS = 400;
const LAST_PAUSE_MS = 8000;

/** The listener's own address, under which everything lies. */
export const home = location.pathname.replace(/\/+$/, "");

/** The server's "no": trying again would not help. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Sends JSON. Throws a Refusal if the server says no, another Error if it cannot be reached or is unwell. */
export async function send(method, path, body = {}) {
  const answer = await fetch(home + path, {
    method,
    keepalive: true, // goes on if the page is left
    headers: {
      "content-type": "application/json",
      "x-csrf-token": document.querySelector('meta[name="csrf-token"]').content,
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(LONGEST_MS),
  });
  if (answer.ok) return;
  if (answer.status >= 500 || answer.status === 429) throw new Error(`the server is unwell (${answer.status})`);
  const said = await answer.json().catch(() => ({}));
  throw new Refusal(said.error ?? `The server refused (${answer.status}).`, answer.status);
}

/** Tries until there is an answer, with longer and longer pauses. `attempt` gets how often it failed before. */
export async function insist(attempt, onAway = () => {}) {
  for (let failures = 0; ; ) {
    try {
      return await attempt(failures);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      failures += 1;
      onAway();
      await pause(Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LAST_PAUSE_MS));
    }
  }
}

/** Shows where the listener is, whatever the address says. */
export function goHome() {
  location.replace(home);
}

/** A page that the browser kept for "back" may be an old one. */
export function stayFresh() {
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
}

/** Waits; not longer than until the network is back. */
function pause(milliseconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
  });
}
