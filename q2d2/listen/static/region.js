// The part of the recordings that is played again and again: a bar with two handles and a line where it plays now.

const SHORTEST_S = 0.5;
const EVERY_MS = 50;
const CALM_MS = 500;

/** Binds a Player to an element that holds two range inputs, the bar's parts and a button for the whole. */
export class Region {
  #player;
  #bar;
  #band;
  #line;
  #from;
  #to;
  #whole;

  constructor(element, player) {
    this.#player = player;
    this.#bar = element.querySelector(".bar");
    this.#band = element.querySelector(".band");
    this.#line = element.querySelector(".line");
    [this.#from, this.#to] = element.querySelectorAll("input");
    this.#whole = element.querySelector("button");
    this.#from.addEventListener("input", () => this.#moved(this.#from));
    this.#to.addEventListener("input", () => this.#moved(this.#to));
    for (const input of [this.#from, this.#to]) input.addEventListener("change", () => this.#apply());
    this.#whole.addEventListener("click", () => this.#reset());
    this.#bar.addEventListener("pointerdown", (event) => this.#seek(event));
    player.addEventListener("change", () => this.#paint());
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    setInterval(() => player.playing && this.#paint(), calm ? CALM_MS : EVERY_MS);
  }

  /** The sounds are there: their length is known. */
  begin() {
    const length = this.#player.duration;
    for (const input of [this.#from, this.#to]) {
      input.max = length.toFixed(2);
      input.disabled = length < SHORTEST_S;
    }
    this.#reset();
  }

  get #all() {
    return Number(this.#to.value) >= Number(this.#to.max) && Number(this.#from.value) <= 0;
  }

  #moved(input) {
    const from = Number(this.#from.value);
    const to = Number(this.#to.value);
    if (to - from < SHORTEST_S) input.value = input === this.#from ? to - SHORTEST_S : from + SHORTEST_S;
    this.#paint();
  }

  #apply() {
    const to = Number(this.#to.value) >= Number(this.#to.max) ? this.#player.duration : Number(this.#to.value);
    this.#player.setRegion(this.#all ? null : [Number(this.#from.value), to]);
  }

  #reset() {
    this.#from.value = 0;
    this.#to.value = this.#to.max;
    this.#apply();
    this.#paint();
  }

  #seek(event) {
    const { left, width } = this.#bar.getBoundingClientRect();
    const at = ((event.clientX - left) / width) * this.#player.duration;
    if (at >= this.#player.start && at < this.#player.end) this.#player.seek(at);
  }

  #paint() {
    const percent = (seconds) => `${(100 * seconds) / (this.#player.duration || 1)}%`;
    this.#band.style.left = percent(this.#from.value);
    this.#band.style.right = `calc(100% - ${percent(this.#to.value)})`;
    this.#line.style.left = percent(this.#player.position);
    this.#whole.disabled = this.#all;
    for (const input of [this.#from, this.#to]) {
      input.setAttribute("aria-valuetext", `${Number(input.value).toFixed(2)} seconds`);
    }
  }
}
