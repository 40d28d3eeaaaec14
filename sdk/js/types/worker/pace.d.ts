import { Append } from "./append.js";
/** When the next progress event may be sent, at least so many ms after the last. */
export declare class Pace {
    #private;
    /** @param {number} intervalMs */
    constructor(intervalMs: number);
    /** Takes in that one is sent now. */
    note(): void;
    /** In how many ms the next one may be sent. */
    get dueInMs(): number;
}
/**
 * One progress event that leaves the job as the two would, sent one after the other. The percentage is the higher one, to
 * which the append script would have raised the newer.
 *
 * @param {Append} newer
 * @param {Append | null} older
 */
export declare function merged(newer: Append, older: Append | null): Append;
