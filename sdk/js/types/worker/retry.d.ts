/**
 * Whether Redis is only unavailable, so that the same call can succeed later. A wrong password does not pass by itself.
 *
 * @param {unknown} error
 */
export declare function willPass(error: unknown): boolean;
/**
 * Whether the error of a connection says that it will be refused again.
 *
 * @param {any} error
 * @returns {boolean}
 */
export declare function isRefusal(error: any): boolean;
/** The pauses between tries: exponential back-off with jitter, at most a second or so. */
export declare class Pauses {
    #private;
    /** How many milliseconds to wait before the next try. */
    next(): number;
}
/** @param {number} ms */
export declare const sleep: (ms: number) => Promise<any>;
/**
 * Repeats a call that may be repeated while Redis is unavailable, as long as a call may wait.
 *
 * @template T
 * @param {() => Promise<T>} call
 * @param {{ closings: number, isOver: boolean }} connection
 * @param {number | null} blockS
 * @returns {Promise<T>}
 */
export declare function repeated<T>(call: () => Promise<T>, connection: {
    closings: number;
    isOver: boolean;
}, blockS: number | null): Promise<T>;
