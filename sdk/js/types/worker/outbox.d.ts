import type { Answer, Append } from "./append.js";
import type { Limits } from "./settings.js";
export type Answered = (event: Append, answer: Answer) => void;
/** One buffered event, and its outcome. */
export declare class Waiting {
    event: Append;
    answered: Answered | undefined;
    otherwise: Append | null;
    size: number;
    /** Its sequence number; 0 until it is first sent. */
    number: number;
    /** Whether its caller waits for the answer. */
    isAwaited: boolean;
    isOver: boolean;
    followsRestart: boolean;
    /** @type {Answer | null} null if newer progress took its place */
    answer: Answer | null;
    /** @type {unknown} the refusal */
    error: unknown;
    /** @type {(() => void)[]} called when it was written, refused or dropped */
    wake: (() => void)[];
    /**
     * @param {Append} event
     * @param {Answered} [answered]
     * @param {Append | null} [otherwise] a smaller event that replaces it if it is too large for the job
     */
    constructor(event: Append, answered?: Answered, otherwise?: Append | null);
    result(): Answer | null;
    /** @param {Answer | null} answer @param {unknown} [error] */
    end(answer: Answer | null, error?: unknown): void;
}
/**
 * The buffer of one run: keeps its events in order, oldest first, numbers them, and bounds their number and size. Does
 * no I/O.
 *
 * A run has one append in flight at a time. So the append script can detect a repeat by its sequence number alone, and
 * events stay in order, even when connections and servers fail.
 */
export declare class Outbox {
    #private;
    /** @type {Waiting[]} */
    waiting: Waiting[];
    /** The last sequence number that was used. */
    lastNumber: number;
    /** Whether a call has stopped waiting for its event. */
    isBehind: boolean;
    /** @param {string} jobId @param {Limits} limits */
    constructor(jobId: string, limits: Limits);
    /** The event that is in flight, or is sent next. @returns {Waiting | undefined} */
    get first(): Waiting | undefined;
    /** Whether the end of the run is buffered. */
    get hasEnd(): boolean;
    /** Stores the start of a run, and drops the events of an earlier run. @param {Append} start */
    begin(start: Append): void;
    /** Stores the entry of the start, so that a repeat can't start a later job. @param {string} entryId */
    began(entryId: string): void;
    /** The sequence number of an event, the same for each repeat. @param {Waiting} waiting */
    numbered(waiting: Waiting): number;
    /**
     * Adds an event at the end. Throws BufferFull if there is no room.
     *
     * There is always room for the run's end, and for one event. When the buffer is full, only the newest progress is
     * kept.
     *
     * @param {Waiting} waiting
     */
    add(waiting: Waiting): void;
    /** Adds the start of the run before the other events, because a failover has lost it. */
    restart(): void;
    /** Removes the first event, which was written. @param {Answer} answer */
    answered(answer: Answer): void;
    /**
     * What to do after an error of the first event: repeat it `later`; send the first event `now`, because it was
     * replaced or preceded by the start; or it is `refused` and will never be written.
     *
     * @param {unknown} error
     * @returns {"later" | "now" | "refused"}
     */
    judge(error: unknown): "later" | "now" | "refused";
    /** Removes the first event, which was refused; removes all if the refusal concerns all. @param {unknown} error */
    refused(error: unknown): void;
    /** Removes all events. @param {unknown} error */
    abandon(error: unknown): void;
}
