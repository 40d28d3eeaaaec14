import type { WatchOptions } from "./types.js";
import { initial } from "./state.js";
export { initial };
/** Default options of all jobs. @type {WatchOptions} */
export declare const defaults: WatchOptions;
/** @type {WatchJob} */
export declare function watchJob(options: import("./types.js").Options): import("./types.js").Job;
