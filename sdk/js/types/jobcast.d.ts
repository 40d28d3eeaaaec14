import type { JobEvent, JobState, Problem, WatchOptions } from "./types.js";
import { initial } from "./state.js";
export { initial };
/** Options of all jobs. @type {WatchOptions} */
export declare const defaults: WatchOptions;
/** Options that are undefined are the defaults. */
export declare function withDefaults(/** @type {any} */ options: any): {
    jobId?: string | undefined;
    url?: string | URL | undefined;
    token?: string | null | (() => string | null | undefined | Promise<string | null | undefined>) | undefined;
    session?: string | undefined;
    withCredentials?: boolean | undefined;
    from?: "start" | undefined;
    events?: "all" | string[] | undefined;
    shareAcrossTabs?: boolean | undefined;
    signal?: AbortSignal | undefined;
    EventSource?: typeof EventSource | undefined;
    onState?: ((state: JobState) => void) | undefined;
    onEvent?: ((event: JobEvent) => void) | undefined;
    onProgressUpdate?: ((data: import("../events.js").ProgressData, event: JobEvent) => void) | undefined;
    onStepChange?: ((data: import("../events.js").ProgressData, event: JobEvent) => void) | undefined;
    onComplete?: ((data: {
        result: any;
    }, event: JobEvent) => void) | undefined;
    onFailed?: ((data: {
        error: string;
        errorCode: string | null;
    }, event: JobEvent) => void) | undefined;
    onReset?: ((data: {
        reason: string;
        attempt?: number;
    }, event: JobEvent) => void) | undefined;
    onLog?: ((data: {
        text: string;
        level?: string;
        time?: string;
        [field: string]: any;
    }, event: JobEvent) => void) | undefined;
    base: any;
};
export declare function callbacksOf(/** @type {object} */ options: object): Map<string, any>;
export declare const run: (/** @type {any} */ act: any, /** @type {any[]} */ ...given: any[]) => Promise<any>;
/** @param {Problem} problem */
export declare const failure: (problem: Problem) => Error & Problem;
/** @type {Iterate} */
export declare function iterate(readers: Set<any>, isEnded: () => boolean, closed: Promise<any>): AsyncGenerator<any, void, any>;
/** @type {WatchJob} */
export declare function watchJob(options: import("./types.js").Options): import("./types.js").Job;
