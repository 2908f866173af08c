// What is noted of the time on a page: how long it was looked at, how often each sound began to be heard, the comment.

/** Kept through a reload in the tab's own storage, if the browser has one. */
export class Stay {
  #key;
  #seconds = 0;
  #since = null;
  plays = {};
  comment = "";

  constructor(label) {
    this.#key = `q2d2 ${location.pathname} ${label}`;
    this.#restore();
    this.#look();
    document.addEventListener("visibilitychange", () => this.#look());
    addEventListener("pagehide", () => this.#keep());
  }

  /** How long the page was in view. */
  get seconds() {
    return this.#seconds + (this.#since === null ? 0 : (performance.now() - this.#since) / 1000);
  }

  get allPlays() {
    return Object.values(this.plays).reduce((sum, count) => sum + count, 0);
  }

  count(sound) {
    this.plays[sound] = (this.plays[sound] ?? 0) + 1;
  }

  #look() {
    this.#seconds = this.seconds;
    this.#since = document.visibilityState === "visible" ? performance.now() : null;
  }

  #restore() {
    try {
      const { seconds, plays, comment } = JSON.parse(sessionStorage.getItem(this.#key) ?? "{}");
      this.#seconds = seconds ?? 0;
      this.plays = plays ?? {};
      this.comment = comment ?? "";
    } catch {
      // no storage: a reload begins anew
    }
  }

  #keep() {
    try {
      const { seconds, plays, comment } = this;
      sessionStorage.setItem(this.#key, JSON.stringify({ seconds, plays, comment }));
    } catch {
      // no storage
    }
  }
}
