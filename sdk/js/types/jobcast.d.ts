import type { Problem, WatchOptions } from "./types.js";
import { initial } from "./state.js";
export { initial };
/** Options of all jobs. @type {WatchOptions} */
export declare const defaults: WatchOptions;
export declare function callbacksOf(/** @type {object} */ options: object): Map<string, any>;
export declare const run: (/** @type {any} */ act: any, /** @type {any[]} */ ...given: any[]) => Promise<any>;
/** @param {Problem} problem */
export declare const failure: (problem: Problem) => Error & Problem;
/** @type {Iterate} */
export declare function iterate(readers: Set<any>, isEnded: () => boolean, closed: Promise<any>): AsyncGenerator<any, void, any>;
/** @type {WatchJob} */
export declare function watchJob(options: import("./types.js").Options): import("./types.js").Job;
