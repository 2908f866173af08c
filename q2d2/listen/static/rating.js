// A page of the listening test: hear, rate, go on. What is rated is saved at once.

import { Choices } from "./choices.js";
import { Listening } from "./listening.js";
import { Saver } from "./saver.js";
import { Refusal, goHome, home, insist, send, stayFresh } from "./server.js";
import { Sliders } from "./sliders.js";
import { Stay } from "./stay.js";

const STATES = {
  empty: "",
  saving: "saving …",
  saved: "saved",
  away: "not saved, trying again",
  refused: "not saved",
};

class Sheet {
  #root = document.querySelector("#sheet");
  #label = this.#root.dataset.label;
  #isPractice = this.#root.dataset.practice !== undefined;
  #sounds = this.#root.dataset.sounds.split(" ");
  #stay = new Stay(this.#label);
  #saver = new Saver();
  #form = this.#root.dataset.kind === "multiple" ? new Sliders(this.#root) : new Choices(this.#root);
  #next = document.querySelector("#next");
  #hint = document.querySelector("#hint");
  #comment = document.querySelector("#comment"); // none in practice
  #window = Math.random().toString(36).slice(2); // as it is loaded this time
  #changes = 0;
  #doubted = false;

  begin() {
    const urls = this.#sounds.map((sound) => `${home}/audio/${this.#label}/${sound}`);
    const listening = new Listening(this.#root, this.#sounds, urls);
    listening.addEventListener("hear", ({ detail }) => this.#form.focus(detail));
    listening.addEventListener("start", ({ detail }) => this.#stay.count(detail));
    this.#form.addEventListener("rate", ({ detail }) => this.#save(detail));
    this.#saver.addEventListener("change", () => this.#showState());
    this.#next.addEventListener("click", () => this.#goOn());
    document.querySelector("#go-home").addEventListener("click", goHome);
    this.#keepComment();
    this.#next.disabled = false;
    listening.load();
  }

  #keepComment() {
    if (!this.#comment) return;
    this.#comment.value = this.#stay.comment;
    this.#comment.addEventListener("input", () => (this.#stay.comment = this.#comment.value));
  }

  get #path() {
    return `/pages/${this.#label}`;
  }

  #save(changed) {
    this.#hint.textContent = "";
    if (this.#isPractice) return;
    const order = { window: this.#window, change: ++this.#changes }; // requests may overtake each other
    this.#saver.put(`${this.#path}/answers/${changed}`, { ...this.#answers[changed], ...order });
  }

  /** All that the page shows, by letter or as "choice"; `plays` of a choice are those of all sounds together. */
  get #answers() {
    const plays = (name) => (name === "choice" ? this.#stay.allPlays : (this.#stay.plays[name] ?? 0));
    return Object.fromEntries(this.#form.answers.map(([name, score]) => [name, { score, plays: plays(name) }]));
  }

  async #goOn() {
    if (this.#isPractice) return this.#endPractice();
    this.#hint.textContent = this.#form.missing;
    if (this.#hint.textContent) return this.#form.focusMissing();
    this.#hint.textContent = this.#unheard;
    if (this.#hint.textContent) return;
    if (this.#form.doubt && !this.#doubted) {
      this.#doubted = true;
      this.#hint.textContent = this.#form.doubt;
      return;
    }
    await this.#whileBusy(async () => {
      await this.#saver.settled();
      const body = { answers: this.#answers, seconds: this.#stay.seconds, comment: this.#stay.comment };
      await this.#insist((failures) => this.#submit(body, failures));
    });
  }

  /** If an earlier attempt got through and only its answer was lost, this one is told so. */
  async #submit(body, failures) {
    try {
      await send("POST", `${this.#path}/submit`, body);
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 409 && failures)) throw error;
    }
    goHome();
  }

  /** Sounds of which nobody can have an opinion, in words; "" if there are none. */
  get #unheard() {
    const isUnheard = (name) => name !== "reference" && !this.#stay.plays[name] && !this.#form.knows(name);
    const names = this.#sounds.filter(isUnheard).map((name) => name.toUpperCase());
    return names.length ? `Not heard yet: ${names.join(", ")}.` : "";
  }

  async #endPractice() {
    const next = Number(this.#root.dataset.number) + 1;
    if (next <= Number(this.#root.dataset.practice)) return location.replace(`${home}?practice=${next}`);
    await this.#whileBusy(async () => {
      await this.#insist(() => send("POST", "/trained"));
      goHome();
    });
  }

  async #whileBusy(work) {
    this.#next.disabled = true;
    document.querySelector("#answers").inert = true;
    try {
      await work();
    } catch (error) {
      this.#showRefusal(error.message);
    }
  }

  #insist(attempt) {
    return insist(attempt, () => this.#say(STATES.away));
  }

  #showState() {
    this.#say(STATES[this.#saver.state]);
    if (this.#saver.refusal) this.#showRefusal(this.#saver.refusal.message);
  }

  #say(words) {
    const status = document.querySelector("#state");
    if (status.textContent !== words) status.textContent = words;
  }

  #showRefusal(message) {
    document.querySelector("#refused").hidden = false;
    document.querySelector("#refused span").textContent = message;
    document.querySelector("#go-home").focus();
  }
}

stayFresh();
new Sheet().begin();
