// One of several marks that say how B compares with A, or which one X is.

/** The choice of a page. Event "rate": a mark was chosen. */
export class Choices extends EventTarget {
  #inputs;
  #restored; // whether a choice was made before the page was loaded
  doubt = ""; // there is none

  constructor(root) {
    super();
    this.#inputs = [...root.querySelectorAll('input[name="choice"]')];
    this.#restored = this.answers.length > 0;
    for (const input of this.#inputs) {
      input.addEventListener("change", () => this.dispatchEvent(new CustomEvent("rate", { detail: "choice" })));
      input.disabled = false; // before, nobody would have noted it
    }
  }

  /** What is answered: "choice" and the mark. */
  get answers() {
    const chosen = this.#inputs.find((input) => input.checked);
    return chosen ? [["choice", Number(chosen.value)]] : [];
  }

  get missing() {
    return this.answers.length ? "" : "Choose one of the answers.";
  }

  /** Whether the sounds have been heard before the page was loaded. */
  knows() {
    return this.#restored;
  }

  /** Which one is heard has no place of its own here. */
  focus() {}

  focusMissing() {
    this.#inputs[0].focus();
  }
}
