/**
 * Whether Redis is only unavailable, so that the same call can succeed later. A wrong password is not such an error.
 *
 * @param {unknown} error
 */
export declare function isTransient(error: unknown): boolean;
/**
 * Whether the error of a connection means that Redis will reject the next one too.
 *
 * @param {any} error
 * @returns {boolean}
 */
export declare function isRefusal(error: any): boolean;
/** The pauses between tries: exponential back-off from 50 ms to 1 s, with a jitter of ±50 %. */
export declare class Pauses {
    #private;
    /** How many milliseconds to wait before the next try. */
    next(): number;
}
/** @param {number} ms */
export declare const sleep: (ms: number) => Promise<any>;
/**
 * Repeats a call, which must be safe to repeat, while Redis is unavailable: for up to `blockS` seconds (null: for ever).
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
