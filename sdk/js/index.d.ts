export { defaults, initial, watchJob } from "./types/jobcast.js";
export type { Handle, Job, JobEvent, JobState, Options, Outcome, Problem, WatchOptions } from "./types/types.js";
export type * from "./events.js";
