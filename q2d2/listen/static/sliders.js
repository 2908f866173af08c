// A score from 0 to 100 for every letter.

/**
 * The sliders of a page. One counts as rated once it was touched.
 * Event "rate": `detail` is the letter that got a score.
 */
export class Sliders extends EventTarget {
  #inputs;
  #ranges;
  #restored; // letters that were rated before the page was loaded
  #held = null; // what the slider under a finger said before

  constructor(root) {
    super();
    this.#inputs = [...root.querySelectorAll("input[data-letter]")];
    this.#ranges = [...root.querySelectorAll("[data-from]")].map(({ dataset }) => ({
      from: Number(dataset.from),
      name: dataset.name,
    }));
    this.#restored = new Set(this.#rated.map(({ dataset }) => dataset.letter));
    for (const input of this.#inputs) {
      input.addEventListener("pointerdown", () => (this.#held = { value: input.value, cancelled: false }));
      input.addEventListener("input", () => (this.#held ? this.#paint(input, true) : this.#rate(input)));
      input.addEventListener("pointerup", () => this.#release(input)); // also where it was left where it was
      input.addEventListener("pointercancel", () => this.#cancel(input));
      input.addEventListener("change", () => this.#release(input));
      input.addEventListener("keydown", ({ key }) => key === "Enter" && this.#rate(input));
      this.#paint(input);
      input.disabled = false; // before, nobody would have noted it
    }
  }

  /** What is answered: every letter that is rated, and its score. */
  get answers() {
    return this.#rated.map((input) => [input.dataset.letter, Number(input.value)]);
  }

  /** What is asked for and missing, in words; "" if nothing is. */
  get missing() {
    const letters = this.#inputs.filter((input) => !isRated(input)).map((input) => input.dataset.letter);
    return letters.length ? `Not rated yet: ${letters.join(", ")}.` : "";
  }

  /** Something to think about before going on; "" if there is nothing. */
  get doubt() {
    if (this.#rated.some((input) => input.value === input.max)) return "";
    return `One of them is the reference itself: does none deserve ${this.#inputs[0].max}? If so, go on.`;
  }

  /** Whether a sound has been heard before the page was loaded. */
  knows(letter) {
    return this.#restored.has(letter);
  }

  /** Where the letter is rated. */
  focus(letter) {
    this.#inputs.find((input) => input.dataset.letter === letter)?.focus();
  }

  focusMissing() {
    this.#inputs.find((input) => !isRated(input))?.focus();
  }

  get #rated() {
    return this.#inputs.filter(isRated);
  }

  #release(input) {
    if (this.#held?.cancelled) this.#cancel(input);
    else this.#rate(input);
    this.#held = null;
  }

  /** The finger went on to scroll the page: the slider was not meant. */
  #cancel(input) {
    if (!this.#held) return;
    input.value = this.#held.value;
    this.#held.cancelled = true;
    this.#paint(input);
  }

  #rate(input) {
    input.dataset.rated = "yes";
    this.#paint(input);
    this.dispatchEvent(new CustomEvent("rate", { detail: input.dataset.letter }));
  }

  #paint(input, isMoving = false) {
    const range = this.#ranges.findLast(({ from }) => Number(input.value) >= from);
    const words = isRated(input) || isMoving ? `${input.value}, ${range.name}` : "not rated";
    input.setAttribute("aria-valuetext", words);
    input.closest(".rated").querySelector("output").textContent = words;
  }
}

function isRated(input) {
  return input.dataset.rated === "yes";
}
