// What has become of a clip: its sounds to switch between, its pictures, its sizes.

import { ask } from "./ask.js";
import {
  Picture,
  paintCells,
  paintPath,
  paintPlayhead,
  paintSpectrogram,
  paintWaveform,
  spectrogramX,
} from "./drawing.js";
import { keysSwitch } from "./keys.js";
import { Player } from "./player.js";
import { sizesTable } from "./sizes.js";

const CALM_MS = 250; // between two steps of the playhead, where motion is unwelcome
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const part = (id) => document.getElementById(id);

/** The lower half of the page. */
export class Results {
  #player = null;
  #clip = null; // picture.json
  #url = "";
  #coded = 0; // the sound on the right: what is heard, or was heard last, other than the first
  #pictures;
  #path;
  #painted = -1; // the sound that the pictures show
  #sayError;
  #drawnMs = 0;

  constructor(sayError) {
    this.#sayError = sayError;
    const playhead = (x) => (context, width, height, at) => paintPlayhead(context, x(this.#share(at), width), height);
    const spectrogram = (id, number) =>
      new Picture(part(id), (...canvas) => this.#paintSpectrogram(canvas, number()), playhead(spectrogramX));
    this.#pictures = {
      waveform: new Picture(
        part("waveform"),
        (...canvas) => this.#clip && paintWaveform(...canvas, this.#clip.sounds[this.#player.heard], this.#peak()),
        playhead((share, width) => share * width),
      ),
      left: spectrogram("left", () => 0),
      right: spectrogram("right", () => this.#coded),
    };
    this.#path = new Picture(
      part("path"),
      (...canvas) => this.#pair && paintCells(...canvas, this.#pair),
      (context, width, height, at) => this.#pair && paintPath(context, width, height, this.#pair, this.#frame(at)),
    );
    part("play").addEventListener("click", () => this.#player.toggle());
    part("position").addEventListener("input", ({ target }) => this.#player.seek(Number(target.value)));
    part("pair").addEventListener("change", () => this.#showPair());
    part("waveform").addEventListener("pointerdown", (event) => this.#seekTo(event));
    part("waveform").addEventListener("pointermove", (event) => event.buttons && this.#seekTo(event));
    document.addEventListener("keydown", (event) => this.#keyDown(event));
  }

  /** Fetches a clip that is done, and shows it. Throws an Error with the server's words if it is gone. */
  async show(url) {
    const clip = await (await ask(`${url}/picture.json`)).json();
    this.pause();
    this.#player ??= this.#newPlayer();
    this.#player.hear(0);
    const files = clip.sounds.map(({ name }) => `${url}/${encodeURIComponent(name)}.wav`);
    await this.#player.load(files);
    this.#clip = clip;
    this.#url = url;
    this.#coded = Math.min(1, clip.sounds.length - 1);
    this.#painted = -1;
    this.#fill();
    part("results").hidden = false;
    this.#changed();
    part("name").focus();
  }

  pause() {
    this.#player?.pause();
  }

  #newPlayer() {
    const player = new Player();
    player.addEventListener("change", () => this.#clip && this.#changed());
    return player;
  }

  get #pair() {
    return this.#clip?.pairs[part("pair").selectedIndex];
  }

  #share = (at) => (this.#clip ? at / this.#clip.duration_s : 0);
  #frame = (at) => Math.min(this.#pair.indices.length - 1, Math.floor(at * this.#clip.frame_rate_hz));
  #peak = () => Math.max(1e-3, ...this.#clip.sounds.flatMap(({ low, high }) => [-Math.min(...low), Math.max(...high)]));

  #fill() {
    const { name, duration_s: durationS, sample_rate_hz: hz, is_cut: isCut, sounds, pairs } = this.#clip;
    part("name").textContent = name;
    const whole = isCut ? "only its beginning is used, the file goes on" : "";
    const coded = sounds[0].bytes ? "a .q2d2 file, so there is no original to compare with" : "";
    part("facts").textContent = [`${durationS.toFixed(2)} s at ${hz / 1000} kHz`, whole, coded]
      .filter(Boolean)
      .join("; ");
    part("sounds").replaceChildren(
      ...sounds.map((sound, number) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: sound.name });
        if (number < 10) button.append(" ", Object.assign(document.createElement("kbd"), { textContent: number }));
        button.addEventListener("click", () => this.#hear(number));
        return button;
      }),
    );
    part("position").max = durationS;
    part("pair").replaceChildren(...pairs.map((pair, number) => new Option(`${number + 1}`)));
    part("tokens").hidden = !pairs.length;
    part("sizes").replaceChildren(...sizesTable(this.#clip, this.#url, (event) => this.#save(event)));
    part("left").closest("figure").hidden = sounds.length === 1;
    this.#showPair();
  }

  #showPair() {
    if (!this.#pair) return;
    const { points, visits } = this.#pair;
    const used = visits.filter(Boolean).length;
    const number = part("pair").selectedIndex + 1;
    part("path").setAttribute("aria-label", `The way of the tokens of pair ${number} over its ${points.length} cells`);
    part("path-words").textContent =
      `A token is one of ${points.length} cells, ${this.#clip.frame_rate_hz.toFixed(1)} times a second; the line is` +
      " the way from cell to cell. The stronger a cell's shade, the more often the clip is in it:" +
      ` ${used} of them are used. These tokens are the same at every rate; higher rates have more pairs.`;
    this.#path.repaint();
  }

  #hear(number) {
    if (!this.#clip?.sounds[number]) return;
    this.#player.hear(number);
  }

  /** Something was pressed: all of it is brought up to date. */
  #changed() {
    const { heard, playing } = this.#player;
    const sounds = this.#clip.sounds;
    if (heard > 0) this.#coded = heard;
    part("play").textContent = playing ? "Pause" : "Play";
    [...part("sounds").children].forEach((button, number) => button.setAttribute("aria-pressed", number === heard));
    part("waveform").setAttribute("aria-label", `Waveform of ${sounds[heard].name}; click to go there`);
    part("left-title").textContent = sounds[0].name;
    part("right-title").textContent = sounds[this.#coded].name;
    if (heard !== this.#painted) Object.values(this.#pictures).forEach((picture) => picture.repaint());
    this.#painted = heard;
    this.#move();
    this.#path.moveTo(this.#player.position);
    if (playing) requestAnimationFrame((nowMs) => this.#animate(nowMs));
  }

  #animate(nowMs) {
    if (!this.#player.playing || nowMs === this.#drawnMs) return; // the second of two that were asked for at once
    if (!calm.matches || nowMs - this.#drawnMs >= CALM_MS) {
      this.#drawnMs = nowMs;
      this.#move();
      if (!calm.matches) this.#path.moveTo(this.#player.position);
    }
    requestAnimationFrame((laterMs) => this.#animate(laterMs));
  }

  #move() {
    const at = this.#player.position;
    const words = `${at.toFixed(1)} of ${this.#clip.duration_s.toFixed(1)} s`;
    part("position").value = at;
    part("position").setAttribute("aria-valuetext", words);
    part("at").textContent = words;
    for (const picture of Object.values(this.#pictures)) picture.moveTo(at);
  }

  #paintSpectrogram(canvas, number) {
    if (!this.#clip) return;
    const { sounds, duration_s: durationS, sample_rate_hz: hz } = this.#clip;
    paintSpectrogram(...canvas, sounds[number].spectrogram, durationS, hz / 2);
  }

  #seekTo({ currentTarget, offsetX }) {
    if (this.#clip) this.#player.seek((offsetX / currentTarget.clientWidth) * this.#clip.duration_s);
  }

  #keyDown(event) {
    const { key, target, ctrlKey, altKey, metaKey } = event;
    if (!this.#clip || ctrlKey || altKey || metaKey || target.closest("select, input:not([type=range])")) return;
    if (/^[0-9]$/.test(key) && keysSwitch()) this.#hear(Number(key));
    // on a button, space presses it; but to press what is pressed already would do nothing
    else if (key === " " && !target.closest("a, button:not([aria-pressed=true])")) this.#player.toggle();
    else return;
    event.preventDefault();
  }

  /** Downloads are fetched here, so that a clip that is gone is no page of its own. */
  async #save(event) {
    event.preventDefault();
    const link = event.currentTarget;
    try {
      const answer = await ask(link.href);
      const url = URL.createObjectURL(await answer.blob());
      const name = answer.headers.get("content-disposition").match(/filename="(.*)"/)[1];
      Object.assign(document.createElement("a"), { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    } catch (error) {
      this.#sayError(error.message);
    }
  }
}
