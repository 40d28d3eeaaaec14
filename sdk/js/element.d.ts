import type { JobProgress } from "./types/element.js";
import type { JobState } from "./types/types.js";

export { JobProgress } from "./types/element.js";

declare global {
  interface HTMLElementTagNameMap {
    "job-progress": JobProgress;
  }
  interface GlobalEventHandlersEventMap {
    jobstate: CustomEvent<JobState>;
  }
}
