// Sends what was rated to the server at once, and again until it is there.

import { insist, send } from "./server.js";

const AFTER_MS = 100; // a slider under a finger moves more often than is worth saving

/**
 * Keeps what is to be saved, by path; of a path only the newest matters.
 * Event "change": `state` is "empty", "saved", "saving", "away" (kept here, and tried again) or "refused" (`refusal`).
 */
export class Saver extends EventTarget {
  #waiting = new Map();
  #running = false;
  #away = false;
  #timer = null;
  #used = false;
  refusal = null;

  constructor() {
    super();
    addEventListener("pagehide", () => this.#flush());
    addEventListener("beforeunload", (event) => this.state === "away" && event.preventDefault());
  }

  get state() {
    if (this.refusal) return "refused";
    if (!this.#waiting.size) return this.#used ? "saved" : "empty";
    return this.#away ? "away" : "saving";
  }

  put(path, body) {
    this.#used = true;
    this.#waiting.set(path, body);
    this.#later();
    this.#changed();
  }

  /** Resolves when everything is on the server; rejects with a Refusal. */
  async settled() {
    while (this.#waiting.size) {
      if (this.refusal) throw this.refusal;
      await new Promise((resolve) => this.addEventListener("change", resolve, { once: true }));
    }
  }

  #later() {
    if (this.#running || this.refusal) return;
    this.#timer ??= setTimeout(() => this.#run(), AFTER_MS);
  }

  async #run() {
    this.#running = true;
    this.#timer = null;
    try {
      for (const path of [...this.#waiting.keys()]) await this.#save(path);
    } catch (refusal) {
      this.refusal = refusal;
    }
    this.#running = false;
    if (this.#waiting.size) this.#later();
    this.#changed();
  }

  async #save(path) {
    let sent;
    await insist(
      () => {
        sent = this.#waiting.get(path);
        return send("PUT", path, sent);
      },
      () => this.#setAway(true),
    );
    this.#setAway(false);
    if (this.#waiting.get(path) === sent) this.#waiting.delete(path);
  }

  #flush() {
    for (const [path, body] of this.#waiting) send("PUT", path, body).catch(() => {});
  }

  #setAway(away) {
    if (away === this.#away) return;
    this.#away = away;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
