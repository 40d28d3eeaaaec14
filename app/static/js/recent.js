/** The list of this session's newest jobs, each a link that reopens it. */

import { fetchRecent } from "./api.js";
import { moment } from "./format.js";
import { statusWord } from "./job.js";

const LIMIT = 10;
const ID_CHARACTERS = 8;

function part(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function row(job, openId, openWord) {
  const isOpen = job.jobId === openId;
  const word = (isOpen && openWord) || statusWord(job);
  const created = new Date(job.createdAt);
  const time = part("time", "recent-time", moment(created));
  time.dateTime = job.createdAt;
  const badge = part("span", "badge small", word);
  badge.dataset.state = word;
  const link = document.createElement("a");
  link.href = `#job=${encodeURIComponent(job.jobId)}`;
  link.title = job.jobId;
  if (isOpen) link.setAttribute("aria-current", "true");
  link.append(part("span", "recent-type", job.type), " ", part("code", "recent-id", job.jobId.slice(0, ID_CHARACTERS)), " ", badge, " ", time);
  const item = document.createElement("li");
  item.dataset.job = job.jobId;
  item.append(link);
  return item;
}

export class RecentJobs {
  #list = document.getElementById("recent");
  #note = document.getElementById("recent-note");
  #jobs = [];
  #open = [null, null];

  /** Reads the list anew; on failure says so and keeps what it shows. */
  async refresh() {
    try {
      this.#jobs = await fetchRecent(LIMIT);
      this.#say(this.#jobs.length === 0 ? "None yet. Jobs that this browser starts appear here." : "");
    } catch (error) {
      this.#say(`The list can’t be read: ${error.message}`);
    }
    this.#render();
  }

  /** Marks the open job, and lets its stream overrule what the list last said of it. */
  mark(jobId, word) {
    if (this.#open[0] === jobId && this.#open[1] === word) return;
    this.#open = [jobId, word];
    this.#render();
  }

  #say(text) {
    this.#note.textContent = text;
    this.#note.hidden = text === "";
  }

  #render() {
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.closest("li").dataset.job : null;
    this.#list.replaceChildren(...this.#jobs.map((job) => row(job, ...this.#open)));
    // A re-render must not throw a keyboard reader out of the list.
    if (focused !== null) {
      Array.from(this.#list.children).find((item) => item.dataset.job === focused)?.firstElementChild.focus();
    }
  }
}
