export * from "./types/many.js";
export type { JobState, Jobs, ManyEvent, ManyHandle, ManyOptions, WatchManyOptions } from "./types/types.js";
