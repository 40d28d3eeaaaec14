/**
 * Speaks to screen readers, seldom: states and steps, never each percent.
 *
 * What is said waits a moment and gives way to what follows it, so a connection that drops and returns at once, or a
 * step that lasts for a blink, is not heard at all.
 */

const SETTLE_MS = 1000;
const BETWEEN_STEPS_MS = 6000;

export class Announcer {
  #element;
  #pending = null;
  #timer = null;
  #said = "";
  #stepSaidAt = -Infinity;

  constructor(element) {
    this.#element = element;
  }

  /** A change of state: replaces whatever waits. */
  state(text) {
    this.#hold({ text, isStep: false }, SETTLE_MS);
  }

  /** A step: waits for its turn, and never displaces a state. */
  step(text) {
    if (this.#pending !== null && !this.#pending.isStep) return;
    const due = this.#stepSaidAt + BETWEEN_STEPS_MS - performance.now();
    this.#hold({ text, isStep: true }, Math.max(SETTLE_MS, due));
  }

  #hold(message, milliseconds) {
    const isLaterStep = message.isStep && this.#pending?.isStep;
    this.#pending = message;
    if (isLaterStep) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#say(), milliseconds);
  }

  #say() {
    const { text, isStep } = this.#pending;
    this.#pending = null;
    if (isStep) this.#stepSaidAt = performance.now();
    if (text === this.#said) return;
    this.#said = text;
    this.#element.textContent = text;
  }
}
