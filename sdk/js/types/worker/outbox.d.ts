import type { Answer, Append } from "./append.js";
import type { Limits } from "./settings.js";
export type Answered = (event: Append, answer: Answer) => void;
/** @import { Answer, Append } from "./append.js" */
/** @import { Limits } from "./settings.js" */
/** @typedef {(event: Append, answer: Answer) => void} Answered is called with an event that was written */
/** One event that waits for Redis, and what became of it. */
export declare class Waiting {
    event: Append;
    answered: Answered | undefined;
    otherwise: Append | null;
    size: number;
    /** Its sequence number, 0 until it is sent for the first time. */
    number: number;
    /** Whether its caller waits for the answer. */
    isAwaited: boolean;
    isOver: boolean;
    followsRestart: boolean;
    /** @type {Answer | null} null if newer progress took its place */
    answer: Answer | null;
    /** @type {unknown} the refusal */
    error: unknown;
    /** @type {(() => void)[]} what is called when it is over */
    wake: (() => void)[];
    /**
     * @param {Append} event
     * @param {Answered} [answered]
     * @param {Append | null} [otherwise] a smaller event that takes its place if the job allows none of its size
     */
    constructor(event: Append, answered?: Answered, otherwise?: Append | null);
    result(): Answer | null;
    /** @param {Answer | null} answer @param {unknown} [error] */
    end(answer: Answer | null, error?: unknown): void;
}
/**
 * The events of one run that wait for Redis, oldest first: their order, their numbers, their bounds. Nothing here waits
 * or sends.
 *
 * A run has one append under way at a time, so the append script can tell a repeat by its number alone, and events stay
 * in order whatever happens to connections and servers.
 */
export declare class Outbox {
    #private;
    /** @type {Waiting[]} */
    waiting: Waiting[];
    /** The sequence number that was used last. */
    lastNumber: number;
    /** Whether a caller has stopped waiting for an event. */
    isBehind: boolean;
    /** @param {string} jobId @param {Limits} limits */
    constructor(jobId: string, limits: Limits);
    /** The event that is to be sent next, or is under way. @returns {Waiting | undefined} */
    get first(): Waiting | undefined;
    /** Whether the end of the run is among what waits. */
    get hasEnd(): boolean;
    /** Remembers how the run is started, and that nothing of an earlier run waits. @param {Append} start */
    begin(start: Append): void;
    /** Remembers which entry the start is, so that it is repeated in no later job. @param {string} entryId */
    began(entryId: string): void;
    /** The sequence number of an event, the same for each repeat. @param {Waiting} waiting */
    numbered(waiting: Waiting): number;
    /**
     * Puts an event behind the others; BufferFull if there is no room.
     *
     * There always is room for the run's end, and for one event. When room is short, only the newest progress is kept.
     *
     * @param {Waiting} waiting
     */
    add(waiting: Waiting): void;
    /** Starts the run once more, before what waits: a failover has lost its start. */
    restart(): void;
    /** Takes out the first event, which was written. @param {Answer} answer */
    answered(answer: Answer): void;
    /**
     * What follows an error that the first event got: repeat it `later`, send what is first `now`, for something was put
     * in order, or it is `refused` and will never be written.
     *
     * @param {unknown} error
     * @returns {"later" | "now" | "refused"}
     */
    judge(error: unknown): "later" | "now" | "refused";
    /** Takes out the first event, which won't be written; all, if that is true of all. @param {unknown} error */
    refused(error: unknown): void;
    /** Takes out all events. @param {unknown} error */
    abandon(error: unknown): void;
}
