/** The event log: the last rows of what the stream sent, oldest first, following its end unless scrolled away. */

import { plural, timeOfDay } from "./format.js";

const ROWS = 200;
const VALUE_CHARACTERS = 56;
const NEAR_END_PX = 24;

const shortened = (text) => (text.length > VALUE_CHARACTERS ? `${text.slice(0, VALUE_CHARACTERS - 1)}…` : text);

/** An event's data on a line, as `key=value` pairs with long values cut. */
function short(data) {
  if (data === null || typeof data !== "object") return shortened(String(data));
  return Object.entries(data)
    .map(([key, value]) => `${key}=${shortened(JSON.stringify(value))}`)
    .join("  ");
}

function cell(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function row({ name, data, at }) {
  const time = cell("time", "log-time", timeOfDay(at));
  time.dateTime = at.toISOString();
  const item = document.createElement("li");
  item.dataset.event = name;
  item.append(time, " ", cell("span", "log-name", name), " ", cell("code", "log-data", short(data)));
  return item;
}

export class EventLog {
  #part = document.getElementById("log-part");
  #scroll = document.getElementById("log-scroll");
  #list = document.getElementById("log");
  #count = document.getElementById("log-count");
  #waiting = [];
  #total = 0;

  clear() {
    this.#waiting = [];
    this.#total = 0;
    this.#list.replaceChildren();
    this.#part.hidden = true;
  }

  /** Takes an event; it is shown at the next `render`. */
  add(name, data) {
    this.#waiting.push({ name, data, at: new Date() });
    this.#total += 1;
    if (this.#waiting.length > ROWS) this.#waiting.shift();
  }

  render() {
    if (this.#waiting.length === 0) return;
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    const isFollowing = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#list.append(...this.#waiting.map(row));
    this.#waiting = [];
    while (this.#list.childElementCount > ROWS) this.#list.firstElementChild.remove();
    this.#part.hidden = false;
    this.#count.textContent =
      this.#total > ROWS ? `the last ${ROWS} of ${plural(this.#total, "event")}` : plural(this.#total, "event");
    if (isFollowing) this.#scroll.scrollTop = this.#scroll.scrollHeight;
  }
}
