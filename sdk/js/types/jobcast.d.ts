import type * as T from "./types.js";
import { initial } from "./state.js";
export { initial };
/** @type {T.WatchOptions} */
export declare const defaults: T.WatchOptions;
/** @type {T.WithDefaults} */
export declare function withDefaults<T extends {
    base?: unknown;
}>(options: T): T;
/** @type {T.Run} */
export declare const run: T.Run;
export declare function callbacksOf(/** @type {object} */ options: object): Map<string, any>;
/** @type {T.Failure} */
export declare const failure: T.Failure;
/** @type {T.Iterate} */
export declare function iterate(readers: Set<any>, closed: Promise<any>): AsyncGenerator<any, void, any>;
/** @type {T.WatchJob} */
export declare function watchJob(options: T.Options): T.Job;
