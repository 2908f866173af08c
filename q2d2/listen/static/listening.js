// Hearing a trial: the sounds are fetched, and switched by buttons and keys.

import { keysSwitch } from "./keys.js";
import { Player } from "./player.js";
import { Region } from "./region.js";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const STARTS_MS = 2000;
const SILENT =
  "This browser does not play: allow sound for this page, see whether a loudspeaker is connected, and press Play.";

/**
 * The playback panel of a page.
 * Events: "hear" (`detail` is the sound's name) when a listener chose what to hear; "start" when it began to be heard.
 */
export class Listening extends EventTarget {
  #root;
  #sounds;
  #urls;
  #player;
  #region;
  #buttons;
  #play;
  #notice;
  #ready = false;
  #before = { playing: false, heard: -1 };

  /** @param {string[]} sounds their names; `urls` in the same order */
  constructor(root, sounds, urls) {
    super();
    this.#root = root;
    this.#sounds = sounds;
    this.#urls = urls;
    this.#play = root.querySelector("#play");
    this.#notice = root.querySelector("#notice");
    this.#buttons = [...root.querySelectorAll("[data-hear]")];
    root.querySelector("#load-again").addEventListener("click", () => this.load());
    document.addEventListener("keydown", (event) => this.#keyDown(event));
    document.addEventListener("keyup", (event) => this.#playsOnSpace(event) && event.preventDefault());
  }

  /** Fetches the sounds; says so, and offers to try again, if that fails. */
  async load() {
    const progress = this.#root.querySelector("#loading progress");
    this.#show("loading");
    try {
      this.#player ??= this.#begin();
      await this.#player.load(this.#urls, (done, all) => (progress.value = done / all));
    } catch (error) {
      this.#show("failed");
      this.#root.querySelector("#failed span").textContent = `The sounds are not there yet: ${error.message}.`;
      return;
    }
    this.#show("panel");
    this.#ready = true;
    this.#region.begin();
    for (const button of this.#buttons) button.disabled = false;
    this.#changed();
  }

  /** Plays a sound from where the others are. */
  hear(sound) {
    const index = this.#sounds.indexOf(sound);
    if (index < 0 || !this.#ready) return;
    this.#player.hear(index);
    this.#player.play();
    this.#expectSound();
    this.dispatchEvent(new CustomEvent("hear", { detail: sound }));
  }

  #begin() {
    const player = new Player(new AudioContext(), { fadesOut: true });
    this.#region = new Region(this.#root.querySelector("#region"), player);
    player.addEventListener("change", () => this.#changed());
    this.#play.addEventListener("click", () => this.#toggle());
    this.#root.querySelector("#restart").addEventListener("click", () => player.seek(player.start));
    for (const button of this.#buttons) button.addEventListener("click", () => this.hear(button.dataset.hear));
    return player;
  }

  #show(which) {
    for (const id of ["loading", "failed", "panel"]) this.#root.querySelector(`#${id}`).hidden = id !== which;
  }

  #toggle() {
    if (!this.#ready) return;
    this.#player.toggle();
    if (this.#player.playing) this.#expectSound();
  }

  /** Browsers start sound only after a press, and some not even then. */
  #expectSound() {
    setTimeout(() => {
      const silent = this.#player.playing && this.#player.context.state !== "running";
      this.#notice.textContent = silent ? SILENT : "";
      if (silent) this.#player.pause();
    }, STARTS_MS);
  }

  #changed() {
    const { playing, heard } = this.#player;
    const sound = this.#sounds[heard];
    this.#play.textContent = playing ? "Pause" : "Play";
    for (const button of this.#buttons) button.setAttribute("aria-pressed", String(button.dataset.hear === sound));
    const started = playing && (!this.#before.playing || this.#before.heard !== heard);
    this.#before = { playing, heard };
    if (started) this.dispatchEvent(new CustomEvent("start", { detail: sound }));
  }

  #keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea")) return;
    if (this.#playsOnSpace(event)) {
      event.preventDefault();
      if (!event.repeat) this.#toggle();
      return;
    }
    const sound = keysSwitch() ? this.#soundOf(event.key.toLowerCase()) : undefined;
    if (sound !== undefined) this.hear(sound);
  }

  /** The space bar plays and pauses, but where it has a meaning of its own. */
  #playsOnSpace({ key, target }) {
    if (key !== " " || target.matches("textarea, summary, a")) return false;
    if (target.matches("input[type=radio]")) return target.checked;
    return !target.matches("button:not([data-hear], #play)");
  }

  #soundOf(key) {
    const named = this.#sounds.find((sound) => sound.toLowerCase() === key);
    if (named) return named;
    if (key === "0" || key === "r") return "reference";
    return /^[1-9]$/.test(key) ? LETTERS[Number(key) - 1] : undefined;
  }
}
