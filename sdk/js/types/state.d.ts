import type { JobState } from "./types.js";
/** @type {JobState} */
export declare const initial: JobState;
/** @type {Reduce} */
export declare function reduce(state: JobState, { name, data, id }: import("./types.js").JobEvent): JobState;
