// A score from 0 to 100 for every letter.

/**
 * The sliders of a page. One counts as rated once it was touched.
 * Event "rate": `detail` is the letter that got a score.
 */
export class Sliders extends EventTarget {
  #inputs;
  #ranges;

  constructor(root) {
    super();
    this.#inputs = [...root.querySelectorAll("input[data-letter]")];
    this.#ranges = [...root.querySelectorAll("[data-from]")].map(({ dataset }) => ({
      from: Number(dataset.from),
      name: dataset.name,
    }));
    for (const input of this.#inputs) {
      input.addEventListener("input", () => this.#rate(input));
      input.addEventListener("pointerup", () => this.#rate(input)); // left where it was
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

  #rate(input) {
    input.dataset.rated = "yes";
    this.#paint(input);
    this.dispatchEvent(new CustomEvent("rate", { detail: input.dataset.letter }));
  }

  #paint(input) {
    const range = this.#ranges.findLast(({ from }) => Number(input.value) >= from);
    const words = isRated(input) ? `${input.value}, ${range.name}` : "not rated";
    input.setAttribute("aria-valuetext", words);
    input.closest(".rated").querySelector("output").textContent = words;
  }
}

function isRated(input) {
  return input.dataset.rated === "yes";
}
