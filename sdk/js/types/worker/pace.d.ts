import { Append } from "./append.js";
/** Limits the rate of progress events: they are sent at least so many ms apart. */
export declare class Pace {
    #private;
    /** @param {number} intervalMs */
    constructor(intervalMs: number);
    /** Records that one is sent now. */
    note(): void;
    /** In how many ms the next one may be sent. */
    get dueInMs(): number;
}
/**
 * Merges two progress events into one with the same effect on the job. The percentage is the higher one, to which the
 * append script would have raised the newer event.
 *
 * @param {Append} newer
 * @param {Append | null} older
 */
export declare function merged(newer: Append, older: Append | null): Append;
